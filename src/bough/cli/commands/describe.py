"""``bough describe``: title, labels and other metadata of a branch, or of the whole session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import BRANCH, App, Command, branch_json, find_branch, pass_app
from bough.cli.durations import DURATION

if TYPE_CHECKING:
    from bough.branch import ConversationBranch
    from bough.manager import ConversationBranchManager


class RetentionType(click.ParamType[dict[str, Any]]):
    """What gc keeps: an age, a number of operations, or both with ``/`` between."""

    name = "retention"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        parts = str(value).split("/")
        for part in parts:
            if part.isdecimal():
                kept["operations"] = int(part)
            else:
                days = DURATION.convert(part, param, ctx).total_seconds() / 86400
                kept["days"] = int(days) if days.is_integer() else days
        if len(kept) != len(parts):
            self.fail(f"{value!r} is no retention; 90d, 1000 and 90d/1000 are", param, ctx)
        return kept


@click.command("describe", cls=Command)
@click.argument("branch", type=BRANCH, required=False)
@click.option("--whole-session", is_flag=True, help="Describe the session, not a branch.")
@click.option("--title", metavar="T", help="What it is about; an empty one takes the title away.")
@click.option("--label", "labels", multiple=True, metavar="L", help="Put a label on it; may be given several times.")
@click.option("--unlabel", "unlabels", multiple=True, metavar="L", help="Take a label off.")
@click.option("--archive/--unarchive", "archived", default=None, help="Done with it, or not after all.")
@click.option(
    "--retention", type=RetentionType(), metavar="KEEP", help="What gc keeps in the session: 90d, 1000, 90d/1000."
)
@click.option("--set", "sets", multiple=True, metavar="KEY=JSON", help="A key of your own.")
@click.option("--unset", "unsets", multiple=True, metavar="KEY", help="Take a key away.")
@pass_app
def command(
    app: App,
    branch: str | None,
    whole_session: bool,
    title: str | None,
    labels: tuple[str, ...],
    unlabels: tuple[str, ...],
    archived: bool | None,
    retention: dict[str, Any] | None,
    sets: tuple[str, ...],
    unsets: tuple[str, ...],
) -> None:
    """Give a branch, or the whole session, a title and labels.

    BRANCH is the current one where none is given; what is set is shown. All that is given at once is
    one operation, which `bough undo` takes back.

    \b
    bough describe ideas --title "Another ending" --label draft
    bough describe ideas --archive
    bough describe --whole-session --label travel --retention 90d/1000
    bough describe main --set 'model="large"' --unset note
    bough describe ideas
    """
    if whole_session and branch is not None:
        raise click.UsageError("--whole-session takes no BRANCH")
    if retention is not None and not whole_session:
        raise click.UsageError("--retention is for the session: --whole-session")
    values: dict[str, Any] = dict.fromkeys(unsets)
    values |= dict(_key_value(text) for text in sets)
    given = {"title": title, "archived": archived, "retention": retention}
    values |= {key: value or None for key, value in given.items() if value is not None}
    is_changing = bool(values or labels or unlabels)
    with app.manager() as manager:
        found = None if whole_session else find_branch(manager, branch)
        if is_changing:
            with manager.lock():  # labels are changed as they are now
                if labels or unlabels:
                    values["labels"] = _labels(_metadata(manager, found), labels, unlabels)
                if found is None:
                    manager.set_session_metadata(values)
                else:
                    found = manager.set_branch_metadata(values, branch_id=found.id)
        metadata = dict(_metadata(manager, found))
        result = {"branch": found and branch_json(found), "metadata": metadata}
        what = f"session {manager.session_id}" if found is None else f"branch {found.id}"
        app.answer(result, *_lines(what, found.name if found else "", metadata))


def _metadata(manager: ConversationBranchManager, branch: ConversationBranch | None) -> Mapping[str, Any]:
    """As it is now."""
    if branch is None:
        return manager.session_metadata()
    return manager.get_branch_history(branch.id)[-1].metadata or {}


def _key_value(text: str) -> tuple[str, Any]:
    from bough.codec import decode_value

    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.UsageError(f"--set takes KEY=JSON, not {text!r}")
    try:
        return key, decode_value(value.encode())
    except ValueError as error:
        raise click.UsageError(f"the value of {key!r} is not JSON ({error}); a text needs quotes of its own") from None


def _labels(metadata: Mapping[str, Any], more: tuple[str, ...], fewer: tuple[str, ...]) -> list[str] | None:
    from bough.attributes import labels_of

    wanted = dict.fromkeys([*labels_of(metadata), *more])
    return [label for label in wanted if label not in fewer] or None


def _lines(what: str, name: str, metadata: Mapping[str, Any]) -> list[str]:
    from bough.attributes import is_archived, labels_of, title_of
    from bough.cli.text import json_line, plain

    rest = {key: value for key, value in metadata.items() if key not in ("title", "labels", "archived", "retention")}
    retention = metadata.get("retention")
    kept = [f"{retention['days']} days"] if isinstance(retention, dict) and "days" in retention else []
    if isinstance(retention, dict) and "operations" in retention:
        kept.append(f"{retention['operations']} operations")
    told = {
        "name": name,
        "title": title_of(metadata),
        "labels": ", ".join(labels_of(metadata)),
        "archived": "yes" if is_archived(metadata) else "",
        "gc keeps": " and ".join(kept),
    }
    lines = [f"  {click.style(key, dim=True)}: {plain(value)}" for key, value in told.items() if value]
    lines += [click.style(f"  {json_line({key: value}).decode()[1:-1]}", dim=True) for key, value in rest.items()]
    return [plain(what), *(lines or ["  nothing was set"])]
