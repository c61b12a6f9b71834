"""Secrets and addresses taken out of what is exported: keys, tokens, passwords in URLs, e-mail addresses.

1. Every string is looked at, at any depth of a message: texts, keys of objects, arguments of tools (JSON in a string,
   also JSON in JSON, whose escapes are undone to look); and the ids and names of branches and tags, titles, metadata.
2. What is found becomes ``[redacted:NAME]``; JSON in a string stays JSON.
3. Found is what looks like one of the patterns, and nothing else: a password in plain words, a name, a telephone number
   stay. Redaction is a help, not a promise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias

from bough.changes import free_id
from bough.codec import decode_value
from bough.model import History, Message, replace
from bough.parts import as_json
from bough.transfer.export.talk import Exported

PATTERNS: dict[str, str] = {
    "private-key": r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40})PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?s:.{0,16384}?)-----END (?P=kind)PRIVATE KEY(?: BLOCK)?-----|(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{20,}+)*+)",
    "anthropic-key": r"(?<![A-Za-z0-9])sk-ant-[A-Za-z0-9_-]{16,}",
    "openai-key": r"(?<![A-Za-z0-9])sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,}"
    r"|(?=[A-Za-z_-]{0,100}[0-9])[A-Za-z0-9_-]{20,})",
    "stripe-key": r"(?<![A-Za-z0-9])(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,}",
    "aws-key-id": r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "aws-secret": r"(?i:(?P<keep>aws_?secret_?(?:access_?)?key[\"']?\s{0,5}[:=]\s{0,5}[\"']?))[A-Za-z0-9/+]{40}",
    "azure-key": r"(?P<keep>(?i:\b(?:Account|SharedAccess)Key\s{0,5}=\s{0,5})|[?&]sig=)[A-Za-z0-9/+%]{40,}={0,2}",
    "github-token": r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})",
    "gitlab-token": r"(?<![A-Za-z0-9])gl(?:pat|dt|rt|cbt|ptt|ft|oas)-[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]{2,}){0,3}",
    "google-key": r"(?<![A-Za-z0-9])(?:AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{20,})",
    "slack-token": r"(?<![A-Za-z0-9])(?:xox[a-z]-|xapp-)[A-Za-z0-9-]{10,}",
    "slack-webhook": r"https://hooks\.slack\.com/services/[A-Za-z0-9/_-]{10,}",
    "npm-token": r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}",
    "hugging-face-token": r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,}",
    "jwt": r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]+){2,4}",
    "bearer-token": r"(?P<keep>(?i:\bbearer)\s{1,5})[A-Za-z0-9._~+/-]{16,}=*",
    "authorization": r"(?P<keep>(?i:\bauthorization[\"']?\s{0,5}[:=]\s{0,5}[\"']?(?:basic|token)\s{1,5}))"
    r"[A-Za-z0-9._~+/-]{6,}=*",
    "password-in-url": r"(?P<keep>://[^\s/:@\"']{0,200}:)[^\s/@\"']{1,200}(?=@)",
    "e-mail": r"(?<![\w.%+-])(?:(?!%40)[\w.%+-])++(?:@|%40)(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}",
}
"""What is found, by name, in the order in which it is looked for. Of ``keep`` is kept what it matched."""

MAX_DEPTH = 20
"""How deep JSON in JSON is looked into."""

_Value: TypeAlias = Any


class Redactor:
    """Replaces, and counts: ``counts`` by name what was replaced, each time that it was read."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        """``own`` are regular expressions beside ours, called ``own-1`` … ``re.error`` where one is none."""
        patterns = {**{f"own-{number}": pattern for number, pattern in enumerate(own, 1)}, **PATTERNS}
        self._patterns = {name: re.compile(pattern) for name, pattern in patterns.items()}
        self.counts: Counter[str] = Counter()

    def text(self, text: str, depth: int = 0) -> str:
        """A string without what was found in it."""
        if depth < MAX_DEPTH and text[:2000].lstrip()[:1] in ("{", "[", '"') and len(text) > 1:
            try:
                value = decode_value(text.encode(errors="surrogatepass"))
            except ValueError:
                pass  # it only looks like JSON
            else:
                made = self._value(value, depth + 1)
                text = text if made == value else as_json(made)
        for name, pattern in self._patterns.items():
            text = pattern.sub(partial(self._instead, name), text)
        return text

    def message(self, message: Message) -> Message:
        """A message without what was found in it."""
        made: Message = self._value(message, 0)
        return made

    def _instead(self, name: str, found: re.Match[str]) -> str:
        kept = found.groupdict().get("keep") or ""
        if len(kept) == len(found[0]):
            return found[0]  # nothing but what is kept
        self.counts[name] += 1
        return f"{kept}[redacted:{name}]"

    def _value(self, value: _Value, depth: int) -> _Value:
        """Any JSON value with its strings redacted. Not recursive in it, only in JSON within strings."""
        made: list[_Value] = [value]
        pending: list[tuple[Any, Any]] = [(made, 0)]
        while pending:
            place, at = pending.pop()
            value = place[at]
            if isinstance(value, str):
                place[at] = self.text(value, depth)
            elif isinstance(value, dict):
                renamed: dict[str, _Value] = {}
                place[at] = renamed
                for key, item in value.items():
                    renamed[_free(self.text(key, MAX_DEPTH), renamed)] = item
                pending += [(renamed, key) for key in reversed(renamed)]
            elif isinstance(value, list):
                place[at] = copy = list(value)
                pending += [(copy, index) for index in range(len(copy) - 1, -1, -1)]
        return made[0]


def redacted(talk: Exported, redactor: Redactor) -> Exported:
    """The same without what the redactor finds, in messages, names, ids, titles and metadata."""

    def read(pieces: History) -> Iterator[Message]:
        for message in talk.read(pieces):
            yield redactor.message(message)

    ids: dict[str, str] = {}
    for (
        record
    ) in talk.branches:  # an id is made from the name, so a secret in that may stand in the id in other letters
        id_, name = redactor.text(record.id), redactor.text(record.name)
        ids[record.id] = _free(id_ if name == record.name else free_id(name, ()), set(ids.values()))
    for other in [merge.source for merge in talk.merges] + [talk.head]:
        ids.setdefault(other, _free(redactor.text(other), set(ids.values())))
    tags: dict[str, str] = {}
    for tag in talk.tags:
        tags[tag.name] = _free(redactor.text(tag.name), set(tags.values()))
    return replace(
        talk,
        session_id=redactor.text(talk.session_id),
        head=ids[talk.head],
        title=None if talk.title is None else redactor.text(talk.title),
        metadata=redactor.message(dict(talk.metadata)),
        branches=tuple(
            replace(
                record,
                id=ids[record.id],
                name=redactor.text(record.name),
                parent_id=ids.get(record.parent_id or ""),
                metadata=None if record.metadata is None else redactor.message(dict(record.metadata)),
            )
            for record in talk.branches
        ),
        tags=tuple(replace(tag, name=tags[tag.name]) for tag in talk.tags),
        merges=tuple(
            replace(merge, source=ids[merge.source], target=ids.get(merge.target, redactor.text(merge.target)))
            for merge in talk.merges
        ),
        read=read,
    )


def _free(name: str, taken: Container[str]) -> str:
    """The name, or that with a number where it is taken."""
    number, wanted = 1, name
    while wanted in taken:
        number += 1
        wanted = f"{name} {number}"
    return wanted
