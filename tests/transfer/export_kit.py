"""A session with forks and merges, and what an exporter makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bough import ConversationBranchManager
from bough.attributes import Tag, with_tag
from bough.changes import change
from bough.codec import now
from bough.manager import ConversationBranchManager as Manager
from bough.model import BranchRecord, Message
from bough.stores.memory import MemoryStore
from bough.transfer.export import EXPORTS, Exported, collect


def memory() -> Manager:
    return ConversationBranchManager("talk", store=MemoryStore())


def say(*texts: str, role: str = "user") -> list[Message]:
    return [{"role": role, "content": text} for text in texts]


def branch(manager: Manager, name: str, at: int, *texts: str, of: str = "main") -> None:
    """A branch with the first ``at`` messages of another, and its own; main is current afterwards."""
    manager.create_branch(name, name, of, at)
    manager.checkout(name)
    manager.add_messages(say(*texts))
    manager.checkout("main")


def odd_tag(manager: Manager, name: str) -> None:
    """A tag of a name that ``tag`` refuses, as a session from elsewhere may have it."""
    state = manager.store.load(manager.session_id)
    found = manager.resolve("HEAD")
    tag = Tag(name=name, history=found.history, edits=found.edits, branch_id=found.branch_id, at=now())
    manager.store.commit(manager.session_id, change("tag", attributes=with_tag(state.attributes, tag)))


def merged() -> Manager:
    """Five branches and two merges: ``idea`` into main, then main into ``late``, which goes on; two forks beside."""
    manager = memory()
    manager.add_messages(say("one", "two", "three", "four"))
    branch(manager, "idea", 2, "idea three", "idea four")
    branch(manager, "side", 1, "side two")
    branch(manager, "late", 4, "late five")
    manager.merge("idea")
    manager.add_messages(say("seven"))
    branch(manager, "after", 7, "after eight")
    manager.checkout("late")
    manager.merge("main")
    manager.add_messages(say("late end"))
    manager.checkout("main")
    manager.tag("v1", "idea")
    return manager


def exported(manager: Manager, *branches: str) -> Exported:
    """All of it, or these branches."""
    state = manager.store.load(manager.session_id)
    chosen: list[BranchRecord] | None = [state.branches[name] for name in branches] if branches else None
    return collect(manager.store, state, head=manager.get_current_branch_id(), chosen=chosen)


def written(name: str, manager: Manager, *branches: str) -> bytes:
    return b"".join(EXPORTS[name].write(exported(manager, *branches)))


def hostile() -> Iterator[Any]:
    """Texts that are something else wherever they are not escaped."""
    yield "</script><script>document.body.append('PWNED')</script>"
    yield "<img src=x onerror=\"document.body.append('PWNED')\">"
    yield "</div></article></main><h1>out</h1><svg/onload=\"document.body.append('PWNED')\">"
    yield "[x](javascript:document.body.append('PWNED')) <a href=\"javascript:alert(1)\">x</a>"
    yield "\" onmouseover=\"alert(1)\" ' onfocus='alert(1)' autofocus x="
    yield "--> ]]> <!-- <style>body{display:none}</style> <base href=//evil> <meta http-equiv=refresh content=0>"
    yield "line\u2028separator\u2029 \u202e right to left \u0000 \u001b[31m \ufffe"
    yield "```html\n<script>document.body.append('PWNED')</script>\n```\n````\nopen"
    yield "</title></style></textarea></details><iframe srcdoc='<script>alert(1)</script>'></iframe>"
    yield "&lt;b&gt; &#60;script&#62; %3Cscript%3E"
