"""Secrets and addresses taken out of what is exported: keys, tokens, passwords in URLs, e-mail addresses.

1. Every string is looked at, at any depth of a message: texts, keys of objects, arguments of tools (JSON in a string,
   also JSON in JSON); and the ids and names of branches and tags, titles, metadata.
2. What is found becomes ``[redacted:NAME]``; JSON in a string stays JSON.
3. Found is what looks like one of the patterns, and nothing else: a password in plain words, a name, a telephone
   number, a key in base64 stay. Redaction is a help, not a promise.
4. A text is looked at as it stands and as it is read: with the escapes undone that a log, a piece of a JSON document or
   a URL holds (``\\n``, ``\\u0067``, ``%3D``, each also escaped again), and those that colour a terminal. An escape is
   replaced whole or stays whole. Addresses are looked for as it is read alone: the ``n`` of ``\\n@name.of`` is in none.
5. No pattern looks at what another put there, but for addresses, which are looked for in what is left. What overlaps is
   replaced as one, by the name that stands first in ``PATTERNS``. What was redacted once stays as it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Any, TypeAlias

from bough.changes import free_id
from bough.codec import decode_value
from bough.model import History, Message, replace
from bough.parts import as_json
from bough.transfer.export.talk import Exported

PATTERNS: dict[str, str] = {
    "private-key": r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40})PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!-{4})){0,16384}+-{5,7}END (?P=kind)PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:[^A-Za-z]{1,40}+(?:(?:Proc-Type|DEK-Info|Version|Comment): [^\n]{0,200}+"  # lines, behind numbers of lines
    r"|[A-Za-z0-9+/=]{20,}+|[A-Za-z0-9+/]{2,20}+={1,2}))*+)",
    "anthropic-key": r"(?<![A-Za-z0-9])sk-ant-[A-Za-z0-9_-]{16,}",
    "openai-key": r"(?<![A-Za-z0-9])sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,}"
    r"|(?=[A-Za-z_-]{0,100}+[0-9])(?=(?:[a-z_-]|[0-9](?![a-z])){0,100}+[A-Z0-9])[A-Za-z0-9_-]{20,})",  # no CSS class
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
    "authorization": r"(?P<keep>(?i:\bauthorization[\"']?\s{0,5}[:=]\s{0,5}[\"']?(?:basic|bearer|token)\s{1,5}))"
    r"[A-Za-z0-9._~+/-]{6,}=*",
    "password-in-url": r"(?P<keep>://[^\s/:@\[\]\"']{0,200}+:)"  # no port before a path, no mark of ours
    r"(?!\[redacted:|(?:\d{1,5}|\$\w{1,40}|\$?[{<]\w{1,40}[}>]|)[/\\])(?:[^\s/\"']{1,200}|[^\s@\"']{1,200}+)(?=@)",
    "e-mail": r"(?<![\w.%+-])[\w.%+-]++@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}",
}
"""What is found, by name. Of ``keep`` is kept what it matched."""

_COLOUR = r"\[[0-?]{0,40}[@-~]"
_ESCAPE = re.compile(  # each begins with a letter that is looked for quickly
    rf"\x1b{_COLOUR}|%1[bB]{_COLOUR}|\[[0-9;]{{1,20}}m"
    rf"|\\(?<!\\\\)\\*+(?:(?:u001[bB]|x1[bB]|033|e){_COLOUR}"
    r"|u(?P<unicode>[0-9A-Fa-f]{4})|x(?P<byte>[0-9A-Fa-f]{2})|(?P<letter>[abefnrtv\"'/]))"
    r"|%(?:25)*(?P<percent>[0-9A-Fa-f]{2})"
)
"""Of no group are those that colour a terminal, also where what begins them was lost."""
_LETTERS = dict(zip("abefnrtv", "\a\b\x1b\f\n\r\t\v", strict=True))

MAX_DEPTH = 20
"""How deep JSON in JSON is looked into."""

_Value: TypeAlias = Any
_Patterns: TypeAlias = list[tuple[str, re.Pattern[str]]]
_Span: TypeAlias = tuple[int, int, int]  # start, stop, and which pattern found it


class Redactor:
    """Replaces, and counts: ``counts`` by name what was replaced, each time that it was read."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        """``own`` are regular expressions beside ours, called ``own-1`` … ``re.error`` where one is none."""
        patterns = {**{f"own-{number}": pattern for number, pattern in enumerate(own, 1)}, **PATTERNS}
        compiled = [(name, re.compile(pattern)) for name, pattern in patterns.items()]
        self._secrets, self._addresses = compiled[:-1], compiled[-1:]
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
        text = self._without(self._secrets, text, as_it_stands=True)
        return self._without(self._addresses, text, as_it_stands=False)

    def message(self, message: Message) -> Message:
        """A message without what was found in it."""
        made: Message = self._value(message, 0)
        return made

    def _without(self, patterns: _Patterns, text: str, *, as_it_stands: bool) -> str:
        escapes = list(_ESCAPE.finditer(text))
        views = list(_views(text, escapes))[0 if as_it_stands else -1 :]
        made, last = [], 0
        for start, stop, rank in _joined(_found(patterns, views, escapes)):
            name, _ = patterns[rank]
            self.counts[name] += 1
            made += [text[last:start], f"[redacted:{name}]"]
            last = stop
        return "".join([*made, text[last:]])

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
                    renamed[_free(self.text(key, depth), renamed)] = item
                pending += [(renamed, key) for key in reversed(renamed)]
            elif isinstance(value, list):
                place[at] = copy = list(value)
                pending += [(copy, index) for index in range(len(copy) - 1, -1, -1)]
        return made[0]


class _View:
    """A text as it is read, and where in the text what is read there stands."""

    def __init__(self, text: str, escapes: list[re.Match[str]], colour: str = "") -> None:
        """Escapes that colour are read as ``colour``."""
        self._read, self._stands = [0], [0]  # where each run of letters, or what an escape means, begins
        pieces, last = [], 0
        for escape in escapes:
            for piece, stop in ((text[last : escape.start()], escape.start()), (_meant(escape, colour), escape.end())):
                pieces.append(piece)
                self._read.append(self._read[-1] + len(piece))
                self._stands.append(stop)
            last = escape.end()
        pieces.append(text[last:])
        self.text = "".join(pieces)
        self._read.append(len(self.text))
        self._stands.append(len(text))

    def place(self, start: int, stop: int) -> tuple[int, int]:
        """Where in the text stands what is at these places (not none) of the view."""
        run, after = bisect_right(self._read, start) - 1, bisect_left(self._read, stop)
        return self._stands[run] + start - self._read[run], self._stands[after] + stop - self._read[after]


def _meant(escape: re.Match[str], colour: str) -> str:
    if escape.lastgroup is None:
        return colour
    if escape["letter"]:
        return _LETTERS.get(escape["letter"], escape["letter"])
    return chr(int(escape["unicode"] or escape["byte"] or escape["percent"], 16))


def _views(text: str, escapes: list[re.Match[str]]) -> Iterator[_View]:
    """The text as it stands first, and last as it is read."""
    yield _View(text, [])
    if any(escape.lastgroup is None for escape in escapes):
        yield _View(text, escapes, colour="")  # it may stand in the middle of a key
    if escapes:
        yield _View(text, escapes, colour=" ")  # or directly before one


def _found(patterns: _Patterns, views: Iterable[_View], escapes: list[re.Match[str]]) -> Iterator[_Span]:
    """What the patterns find in the views of a text, as spans of the text."""
    for view in views:
        for rank, (_, pattern) in enumerate(patterns):
            for match in pattern.finditer(view.text):
                for start, stop in _secret(match):
                    yield (*_uncut(*view.place(start, stop), escapes), rank)


def _secret(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """What was matched, without what is to be kept of it and without what is empty."""
    start, stop = match.span()
    kept = match.span("keep") if match.re.groupindex.get("keep") and match["keep"] else (start, start)
    for piece in ((start, min(kept[0], stop)), (max(kept[1], start), stop)):
        if piece[0] < piece[1]:
            yield piece


def _uncut(start: int, stop: int, escapes: list[re.Match[str]]) -> tuple[int, int]:
    """The span, from behind an escape that it begins in to behind one that it ends in."""
    first = bisect_right(escapes, start, key=re.Match.end)
    if first < len(escapes) and escapes[first].start() < start:
        start = escapes[first].end() if escapes[first].end() < stop else escapes[first].start()
    last = bisect_left(escapes, stop, key=re.Match.start) - 1
    return start, stop if last < 0 else max(stop, escapes[last].end())


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    """In their order, and those that overlap as one."""
    made: list[_Span] = []
    for start, stop, rank in sorted(spans):
        if made and start < made[-1][1]:
            before = made.pop()
            start, stop, rank = before[0], max(before[1], stop), min(before[2], rank)
        made.append((start, stop, rank))
    return made


def redacted(talk: Exported, redactor: Redactor) -> Exported:
    """The same without what the redactor finds, in messages, names, ids, titles and metadata."""

    def read(pieces: History) -> Iterator[Message]:
        for message in talk.read(pieces):
            yield redactor.message(message)

    ids: dict[str, str] = {}
    for record in talk.branches:
        # An id is made from the name, so a secret in that may stand in the id in other letters.
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
