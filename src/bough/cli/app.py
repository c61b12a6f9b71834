"""What every command shares: the global options, the way to the session, naming a branch, and answering."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from bough.branch import ConversationBranch
    from bough.manager import ConversationBranchManager
    from bough.model import SessionState
    from bough.revisions import Revision
    from bough.stores.base import Store

JSON_VERSION = 1
"""The number under ``bough`` in what ``--json`` prints; it changes when a reader of the old shape would stumble."""


class App:
    """What a command was told by the global options, and how it answers."""

    def __init__(self) -> None:
        self.store_url: str | None = None
        self.session: str | None = None
        self.json = False
        self.warnings: list[str] = []
        self._opened: dict[str, str] = {}

    @contextmanager
    def store(self, url: str | None = None) -> Iterator[Store]:
        """The store of ``url``, else the one that was asked for; what it mends meanwhile is told as a warning."""
        from bough.errors import RepairWarning
        from bough.stores import open_store

        with warnings.catch_warnings():
            warnings.simplefilter("always", RepairWarning)
            warnings.showwarning = lambda message, *_: self.warn(str(message))
            store = open_store(self.store_url if url is None else url)
            try:
                yield store
            finally:
                store.close()

    @contextmanager
    def manager(self, *, create: bool = False) -> Iterator[ConversationBranchManager]:
        """The session that was asked for. Without ``create`` one that is not there is ``SessionNotFoundError``."""
        from bough.manager import ConversationBranchManager

        with self.store() as store, ConversationBranchManager(self.session, store=store, create=create) as manager:
            self._opened = {"session": manager.session_id}
            self.warn_of(store.load(manager.session_id))
            yield manager

    def warn_of(self, state: SessionState) -> None:
        """Tells what is not as it should be in a session."""
        for finding in state.findings:
            self.warn(f"{finding.place}: {finding.problem}")

    def warn(self, text: str) -> None:
        """A ``warning:`` line, or with ``--json`` one of the answer's ``warnings``."""
        from bough.cli.text import plain

        if self.json:
            self.warnings.append(text)
        else:
            click.echo(click.style("warning: ", fg="yellow") + plain(text), err=True)

    def answer(self, result: dict[str, Any], *lines: str) -> None:
        """The command's one answer: ``result`` as JSON, or the lines for people."""
        if not self.json:
            for line in lines:
                click.echo(line)
            return
        command = click.get_current_context().command_path.partition(" ")[2]
        self.answer_json({"command": command, **self._opened, **result, "warnings": self.warnings})

    def answer_json(self, result: dict[str, Any]) -> None:
        """One line of JSON, numbers exact, with no character that could drive a terminal."""
        from bough.cli.text import json_line

        click.echo(json_line({"bough": JSON_VERSION, **result}))


def _take(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None and param.name is not None:
        setattr(ctx.ensure_object(App), param.name, value)


def _global_options(*, after: bool) -> list[click.Parameter]:
    """The options that every command takes. ``after`` a command's name they are hidden, and the environment, which
    must not override what stands before it, has been heard."""

    def option(*names: str, envvar: str | None = None, **attrs: Any) -> click.Option:
        envvar = None if after else envvar
        return click.Option(names, callback=_take, expose_value=False, hidden=after, envvar=envvar, **attrs)

    return [
        option(
            "--store",
            "store_url",
            metavar="URL",
            envvar="BOUGH_STORE",
            help="Where the sessions live: a folder, json:PATH, sqlite:PATH."
            "  [env: BOUGH_STORE; default: ~/.codebuddy/branches]",
        ),
        option(
            "--session",
            type=SESSION,
            metavar="ID",
            envvar="BOUGH_SESSION",
            help="Which conversation.  [env: BOUGH_SESSION; default: default]",
        ),
        option("--json", is_flag=True, default=None, help="Answer with one JSON object (docs/json-output.md)."),
    ]


class Command(click.Command):
    """A command that also takes the global options after its name."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.params += _global_options(after=True)


class Group(click.Group):
    """A command with commands of its own, which takes the global options too."""

    command_class = Command

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.params += _global_options(after=type(self) is Group)


pass_app = click.make_pass_decorator(App)


@runtime_checkable
class KeepsFiles(Protocol):
    """A store that has a file for each branch."""

    def path(self, session_id: str, branch_id: str | None = None) -> str: ...


@runtime_checkable
class KeepsLocks(Protocol):
    """A store whose sessions are locked by files."""

    def lock_path(self, session_id: str) -> str: ...


def complete(
    ctx: click.Context, incomplete: str, offered: Callable[[ConversationBranchManager], dict[str, str]]
) -> list[CompletionItem]:
    """What is offered of a session and begins with what was typed, each with what it is."""
    from click.shell_completion import CompletionItem

    from bough.errors import BoughError

    app = ctx.ensure_object(App)
    app.json = True  # a warning must not get between the shell and what is typed
    try:
        with app.manager() as manager:
            found = offered(manager)
    except BoughError:
        return []
    return [CompletionItem(name, help=told) for name, told in found.items() if name.startswith(incomplete)]


class BranchType(click.ParamType[str]):
    """A branch as people name one. :func:`branch_id` finds out which; here it is completed from the session."""

    name = "branch"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete(ctx, incomplete, self._offered)

    def _offered(self, manager: ConversationBranchManager) -> dict[str, str]:
        """What may be meant, each with what it is."""
        return {branch.id: branch.name for branch in manager.get_all_branches()}


class SessionType(click.ParamType[str]):
    """A session, completed from the store."""

    name = "session"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from bough.errors import BoughError

        app = ctx.ensure_object(App)
        app.json = True
        try:
            with app.store() as store:
                return [CompletionItem(each) for each in store.sessions() if each.startswith(incomplete)]
        except BoughError:
            return []


SESSION = SessionType()


class RevisionType(BranchType):
    """A state of a conversation (:mod:`bough.revisions`), completed as far as it is a name."""

    name = "revision"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        begun, dots, _ = incomplete.rpartition("..")
        return complete(
            ctx,
            incomplete,
            lambda manager: {
                start + name: told for start in ("", begun + dots) for name, told in self._offered(manager).items()
            },
        )

    def _offered(self, manager: ConversationBranchManager) -> dict[str, str]:
        tags = dict.fromkeys(manager.tags(), "tag")
        return {**super()._offered(manager), **tags, "HEAD": manager.get_current_branch_id()}


class TagType(BranchType):
    """A tag, completed from the session."""

    name = "tag"

    def _offered(self, manager: ConversationBranchManager) -> dict[str, str]:
        return dict.fromkeys(manager.tags(), "tag")


class DeletedType(BranchType):
    """A branch that was deleted, completed from the log."""

    def _offered(self, manager: ConversationBranchManager) -> dict[str, str]:
        return {id_: f"deleted by operation {each.number}" for id_, each in manager.deleted_branches().items()}


class OperationType(click.IntRange):
    """The number of an operation, completed from the newest of the log."""

    OFFERED = 50

    def __init__(self) -> None:
        super().__init__(min=1)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete(ctx, incomplete, self._offered)

    def _offered(self, manager: ConversationBranchManager) -> dict[str, str]:
        from bough.cli.operations import words
        from bough.cli.text import plain
        from bough.undo import REDO, UNDO, with_fate

        newest = islice(with_fate(manager.operations()), self.OFFERED)
        passed = {"init", "gc", "purge", UNDO, REDO}
        return {
            str(each.number): plain(words(each)) for each, undone in newest if not undone and each.kind not in passed
        }


BRANCH = BranchType()
REVISION = RevisionType()
TAG = TagType()
DELETED = DeletedType()
OPERATION = OperationType()


def warn_of_names(app: App, manager: ConversationBranchManager, branch: ConversationBranch) -> None:
    """Tells where a branch and a tag are called alike, as git does."""
    for name in sorted({branch.id, branch.name} & manager.tags().keys()):
        meant = "branch" if name == branch.id else "tag"
        app.warn(f"a branch and a tag are called {name!r}: as a revision it is the {meant}")


def branch_id(manager: ConversationBranchManager, text: str) -> str:
    """The id of the branch that ``text`` means (:meth:`bough.revisions.Names.branch`): an id, ``HEAD``, ``-``, a name,
    the beginning of an id. ``AmbiguousRevisionError`` where several fit, ``BranchNotFoundError`` where none."""
    from bough.errors import BranchNotFoundError
    from bough.revisions import Names
    from bough.stores.base import check_id

    check_id(text)
    state = manager.store.load(manager.session_id)
    if any(finding.branch_id == text for finding in state.findings):
        return text
    current = manager.get_current_branch_id()
    record = Names(state=state, current=current, operations=manager.operations).branch(text)
    if record is not None:
        return record.id
    if text in ("HEAD", "@"):
        return current
    raise BranchNotFoundError(manager.session_id, text)


def find_branch(manager: ConversationBranchManager, text: str | None) -> ConversationBranch:
    """The branch that ``text`` means, the current one if None."""
    wanted = manager.get_current_branch_id() if text is None else branch_id(manager, text)
    return manager.get_branch_history(wanted)[-1]


def find_range(manager: ConversationBranchManager, text: str) -> tuple[Revision, Revision] | None:
    """The two sides of ``A..B``, None where ``text`` is no range: an id and a tag may hold dots."""
    from bough.attributes import tags_of

    if ".." not in text:
        return None
    state = manager.store.load(manager.session_id)
    return None if text in state.branches or text in tags_of(state.attributes) else manager.resolve_range(text)


def branch_json(branch: ConversationBranch) -> dict[str, Any]:
    """A branch in an answer, without its messages."""
    from bough.codec import time_text

    return {
        "id": branch.id,
        "name": branch.name,
        "length": len(branch.messages),
        "parent_id": branch.parent_id,
        "parent_message_index": branch.parent_message_index,
        "created_at": time_text(branch.created_at),
        "updated_at": time_text(branch.updated_at),
        "metadata": None if branch.metadata is None else dict(branch.metadata),
    }
