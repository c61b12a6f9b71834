"""What was set for a session as a whole, and for a branch: title, labels, archived; tags; how long gc keeps. Pure.

The attributes of a session are one flat JSON object, changed by operations, so that an undo can take back one key and
leave the others:

    {"title": "Trip to Rome", "labels": ["travel"], "archived": true, "retention": {"days": 90, "operations": 1000},
     "tag:v1": {"branch": "main", "at": "2026-11-21T10:00:00.000Z", "history": [["0199…", 0, 12]], "edits": []}}

A branch's metadata has ``title``, ``labels`` and ``archived`` too, beside keys of anybody's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from bough import codec
from bough.errors import InvalidRequestError
from bough.model import Edit, History, Piece

_TAG = "tag:"
RETENTION = "retention"
OURS = frozenset({"title", "labels", "archived", RETENTION})


class Tag(Struct, frozen=True, kw_only=True):
    """A name for a state of a conversation, which stays what it was. ``branch_id`` is the branch it was taken from."""

    name: str
    history: History
    edits: tuple[Edit, ...] = ()
    branch_id: str | None = None
    at: datetime


class Retention(Struct, frozen=True, kw_only=True):
    """For how long, and for how many of the last operations, gc keeps what they would need to be undone."""

    age: timedelta | None = None
    operations: int | None = None


def tags_of(attributes: Mapping[str, Any]) -> dict[str, Tag]:
    """The tags by name, in the order of names. What is malformed is none."""
    tags: dict[str, Tag] = {}
    for key in sorted(attributes):
        if key.startswith(_TAG):
            try:
                tags[key.removeprefix(_TAG)] = _tag(key.removeprefix(_TAG), attributes[key])
            except (KeyError, TypeError, ValueError):
                continue
    return tags


def unread_tags(attributes: Mapping[str, Any]) -> list[str]:
    """The names of those that are malformed."""
    tags = tags_of(attributes)
    names = (key.removeprefix(_TAG) for key in sorted(attributes) if key.startswith(_TAG))
    return [name for name in names if name not in tags]


def _tag(name: str, value: Mapping[str, Any]) -> Tag:
    return Tag(
        name=name,
        history=tuple(Piece(*piece) for piece in value["history"]),
        edits=tuple(Edit(*edit) for edit in value["edits"]),
        branch_id=value["branch"],
        at=codec.parse_time(value["at"]),
    )


def with_tag(attributes: Mapping[str, Any], tag: Tag) -> dict[str, Any]:
    """The attributes with that tag."""
    value = {
        "branch": tag.branch_id,
        "at": codec.time_text(tag.at),
        "history": [list(piece) for piece in tag.history],
        "edits": [list(edit) for edit in tag.edits],
    }
    return {**attributes, _TAG + tag.name: value}


def without_tag(attributes: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The attributes without that tag."""
    return {key: value for key, value in attributes.items() if key != _TAG + name}


def plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that are no tags: the session's metadata."""
    return {key: value for key, value in attributes.items() if not key.startswith(_TAG)}


def updated(values: Mapping[str, Any] | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with the changed keys, without those that are changed to None. ``InvalidRequestError`` for a key of
    ours with a value that it cannot have, ``InvalidMessageError`` for what JSON cannot say."""
    for key, value in changes.items():
        if not isinstance(key, str) or key.startswith(_TAG):
            raise InvalidRequestError(f"{key!r} cannot be a key of metadata", hint="tags are set by tag()")
        if value is not None:
            _check(key, value)
    codec.encode(changes)
    merged = {**(values or {}), **changes}
    return {key: value for key, value in merged.items() if value is not None}


def _check(key: str, value: Any) -> None:
    if key == "title" and not (isinstance(value, str) and value):
        raise InvalidRequestError("a title is a string that is not empty")
    if key == "labels" and not (isinstance(value, list) and all(isinstance(each, str) and each for each in value)):
        raise InvalidRequestError("labels are a list of strings that are not empty")
    if key == "archived" and not isinstance(value, bool):
        raise InvalidRequestError("archived is true or false")
    if key == RETENTION:
        retention_of({RETENTION: value}, strict=True)


def retention_of(attributes: Mapping[str, Any], *, strict: bool = False) -> Retention:
    """What was set for gc. ``strict``: ``InvalidRequestError`` where that is malformed; else it counts as not set."""
    value = attributes.get(RETENTION, {})
    days = value.get("days") if isinstance(value, Mapping) else None
    count = value.get("operations") if isinstance(value, Mapping) else None
    is_right = (
        isinstance(value, Mapping)
        and not value.keys() - {"days", "operations"}
        and (days is None or (isinstance(days, int | float) and not isinstance(days, bool) and 0 <= days < 1e6))
        and (count is None or (isinstance(count, int) and not isinstance(count, bool) and count >= 0))
    )
    if not is_right:
        if strict:
            raise InvalidRequestError('retention is {"days": N, "operations": M}, or one of them')
        return Retention()
    return Retention(age=None if days is None else timedelta(days=days), operations=count)


def has_labels(values: Mapping[str, Any] | None, labels: Iterable[str]) -> bool:
    """Whether metadata has all of the labels."""
    return set(labels) <= set(labels_of(values))


def labels_of(values: Mapping[str, Any] | None) -> list[str]:
    """The labels in metadata, in their order; what is malformed is none."""
    held = (values or {}).get("labels")
    return [each for each in held if isinstance(each, str)] if isinstance(held, list) else []


def title_of(values: Mapping[str, Any] | None) -> str:
    """The title in metadata, empty where there is none."""
    title = (values or {}).get("title")
    return title if isinstance(title, str) else ""


def is_archived(values: Mapping[str, Any] | None) -> bool:
    return (values or {}).get("archived") is True
