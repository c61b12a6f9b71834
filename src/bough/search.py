"""Full-text search, the pure part: a message's words, queries, and the snippet that shows a hit.

A store may scan or ask an index; both give the same hits by construction:
1. There is one tokenizer, :func:`words`, for messages and for queries. ``terms(text)`` is its answer as one line.
2. A token holds ASCII letters and digits in lower case, and characters beyond ASCII, nothing else. So SQLite's FTS5
   with ``tokenize='ascii'`` splits such a line exactly at its spaces, and folds nothing that is not folded already.
3. The tokens of ``terms(text)`` are the tokens of ``text``.
4. A query is a tree over phrases of such tokens. ``Query.matches`` looks for them in the line; ``Query.fts5`` is the
   same tree as a MATCH expression, made of quoted tokens only: it cannot be a syntax error.
5. :func:`parse` answers any string, with a query or with ``InvalidRequestError``, in bounded time and depth.

What a word is:
- Letters, digits and the marks on them. Case, accents, Hebrew points and Arabic vowel signs, width and ligatures make
  no difference (``Straße`` is ``strasse``, ``é`` is ``e``, ``ﬁ`` is ``fi``). All punctuation separates, ``_`` too.
- Scripts without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese …) and Korean: each character with
  its marks is a token, so a word of a query is a phrase there and is found inside longer runs. Kana keep their voicing.
- An emoji is a token; skin tones and joiners make no difference. So is any other symbol but the lines of drawn boxes.
- Of a token the first ``MAX_TOKEN`` characters count.

What it deliberately does not do: stem, rank, correct spelling, know languages, read stores.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from bough.codec import encode_found
from bough.errors import InvalidRequestError
from bough.model import Message

TOKENIZER = f"1/{unicodedata.unidata_version}"
"""Names what :func:`words` and :func:`text_of` make of a message. An index that was built by another one is built anew:
a newer Python knows newer characters."""

MAX_TOKEN = 128
MAX_QUERY = 4000
"""Characters of a query."""
MAX_WORDS = 500
"""Tokens of a query."""
MAX_DEPTH = 20
"""Parentheses inside one another: FTS5's parser has a stack of 100 entries."""


class Found(NamedTuple):
    """A message that matches, by its identity."""

    session_id: str
    segment: str
    position: int


# -- the text of a message -------------------------------------------------------------------------------------------

_NO_PROSE = frozenset(
    {
        *("role", "type", "id", "status", "finish_reason", "stop_reason"),
        *("signature", "encrypted_content", "media_type", "mime_type"),
    }
)
_ARGUMENTS = frozenset({"arguments", "input", "args"})
_DATA_URL = re.compile(r"data:[a-z0-9.+-]{1,80}/[a-z0-9.+-]{1,80}(?:;[^,\s\"]{0,200})?,[^\s\"'<>)]*", re.IGNORECASE)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{256,}={0,2}")
_ESCAPES = re.compile(r'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))+')


def text_of(message: Message) -> str:
    """What a person would look for in a message: its strings, in their order, a line each.

    Left out are strings that are no prose (``role``, ``type``, ``id``, ``…_id``, a signature …), data URLs and base64.
    The arguments of a tool call count as the JSON that they are, with keys and numbers, whether they stand there as a
    string (OpenAI) or as an object (Anthropic, Gemini). In a string that holds JSON escapes are undone.
    """
    lines: list[str] = []
    pending: list[tuple[str, object]] = [("", message)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, str):
            if key not in _NO_PROSE and not key.endswith(("_id", "Id")):
                lines.append(_prose(value))
        elif isinstance(value, dict | list) and key in _ARGUMENTS and not _is_content(value):
            lines.append(_prose(encode_found({"": value}).decode()[len('{"":') : -1]))
        elif isinstance(value, dict):
            pending += [(name, item) for name, item in reversed(value.items()) if name != "logprobs"]
        elif isinstance(value, list):
            pending += [("" if key in _ARGUMENTS else key, item) for item in reversed(value)]
    return "\n".join(lines)


def _is_content(value: object) -> bool:
    """Whether this is a list of typed parts, such as the ``input`` of a whole request."""
    return isinstance(value, list) and any(isinstance(item, dict) and "type" in item for item in value)


def _prose(text: str) -> str:
    if "\\" in text and text.lstrip()[:1] in ("{", "["):
        text = _ESCAPES.sub(lambda found: str(json.loads(f'"{found[0]}"')), text)
    if "data:" in text.lower():
        text = _DATA_URL.sub(" ", text)
    return _BASE64.sub(" ", text) if len(text) >= 256 else text


# -- words -----------------------------------------------------------------------------------------------------------


class Word(NamedTuple):
    """A token, and where it stands: ``text[start:stop]``. Several may stand in one place (``½`` is ``1 2``)."""

    token: str
    start: int
    stop: int


_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x31FF),  # radicals, kana, bopomofo, compatibility jamo
    (0x3400, 0xA4CF),  # ideographs, Yi
    (0xA960, 0xA9DF),  # Jamo, Javanese
    (0xA9E0, 0xA9FF),  # Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul syllables
    (0xF900, 0xFAFF),
    (0xFF66, 0xFFDC),  # halfwidth kana and jamo
    (0x16FE0, 0x18DFF),  # Tangut, Khitan
    (0x1AFF0, 0x1B2FF),  # kana, Nushu
    (0x20000, 0x3FFFF),
)
_JAMO_AFTER_THE_FIRST = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))
_DRAWING = ((0x2500, 0x259F), (0x2800, 0x28FF))  # boxes, blocks, Braille spinners: nobody searches for them
_ATTACHED = frozenset(
    [
        0x0640,  # Arabic tatweel
        *(0x0E33, 0x0EB3),  # Thai and Lao am: it decomposes into a mark on the letter before it, and a letter
        *(0xFF9E, 0xFF9F),  # halfwidth voicing
        *range(0x1F3FB, 0x1F400),  # skin tones
    ]
)
_IGNORED = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f"
    "\ufe20-\ufe2f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
)


class _Kinds(dict[int, str]):
    """A letter for each code point: ``w`` is part of a word, ``c`` a token of its own, ``v`` a later jamo of a Korean
    syllable, ``m`` belongs to what stands before it, a space separates."""

    def __missing__(self, code: int) -> str:
        kind = self[code] = _kind(code)
        return kind


def _kind(code: int) -> str:
    if code < 128:
        return "w" if chr(code).isalnum() else " "
    category = unicodedata.category(chr(code))
    if code == 0x200B:  # the zero-width space, which some write between Thai or Khmer words
        return " "
    if category[0] == "M" or category == "Cf" or code in _ATTACHED:
        return "m"
    if category[0] in "LN":
        if _within(code, _JAMO_AFTER_THE_FIRST):
            return "v"
        return "c" if _within(code, _UNSPACED) else "w"
    return "c" if category == "So" and not _within(code, _DRAWING) else " "


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for first, last in ranges)


_KINDS = _Kinds()
_PLAIN = str.maketrans(
    {"ł": "l", "đ": "d", "ø": "o", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t", "ð": "d", "þ": "th"}
)
"""Letters that people also write without their stroke or ligature, and of which Unicode knows no decomposition."""
_WORD = re.compile("w[wm]*|[cv][mv]*")
_ASCII_WORD = re.compile("[0-9A-Za-z]+")


def words(text: str) -> Iterator[Word]:
    """The tokens of a text, in order, with their places."""
    if text.isascii():
        for found in _ASCII_WORD.finditer(text):
            yield Word(found[0].lower()[:MAX_TOKEN], *found.span())
        return
    for found in _WORD.finditer(text.translate(_KINDS)):
        start, stop = found.span()
        for token in _tokens(text[start:stop]):
            yield Word(token, start, stop)


def terms(text: str) -> str:
    """The tokens with a space before, between and behind them: what an index holds, and :meth:`Query.matches` takes."""
    if text.isascii():  # most text: the same as below at three times the speed
        return " ".join(["", *(token[:MAX_TOKEN] for token in _ASCII_WORD.findall(text.lower())), ""])
    return " ".join(["", *(word.token for word in words(text)), ""])


@lru_cache(1 << 16)
def _tokens(word: str) -> tuple[str, ...]:
    """The tokens of what ``_WORD`` found: one, but where folding gives several (``㍿``) or none."""
    folded = _fold(word)
    return tuple(folded[slice(*found.span())][:MAX_TOKEN] for found in _WORD.finditer(folded.translate(_KINDS)))


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_PLAIN)
    kept = "".join(char for char in _IGNORED.sub("", text) if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", kept)  # kana with their voicing, and Korean syllables, are one character again


# -- queries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Phrase:
    """Tokens that follow one another; with ``prefix`` the last is the beginning of one."""

    tokens: tuple[str, ...]
    prefix: bool = False

    @property
    def pattern(self) -> str:
        """What a line of :func:`terms` holds where the phrase stands; it begins with the space before it."""
        return f" {' '.join(self.tokens)}{'' if self.prefix else ' '}"

    def matches(self, line: str) -> bool:
        return self.pattern in line

    def fts5(self) -> str:
        return f'"{" ".join(self.tokens)}"{" *" if self.prefix else ""}'

    def wanted(self) -> Iterator[Phrase]:
        yield self


@dataclass(frozen=True, slots=True)
class AllOf:
    """Everything of ``parts`` (one at least), and nothing of ``without``."""

    parts: tuple[Node, ...]
    without: tuple[Node, ...] = ()

    def matches(self, line: str) -> bool:
        return all(part.matches(line) for part in self.parts) and not any(part.matches(line) for part in self.without)

    def fts5(self) -> str:
        wanted = f"({' AND '.join(part.fts5() for part in self.parts)})"
        return f"({wanted} NOT ({' OR '.join(part.fts5() for part in self.without)}))" if self.without else wanted

    def wanted(self) -> Iterator[Phrase]:
        for part in self.parts:
            yield from part.wanted()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of ``parts`` at least."""

    parts: tuple[Node, ...]

    def matches(self, line: str) -> bool:
        return any(part.matches(line) for part in self.parts)

    def fts5(self) -> str:
        return f"({' OR '.join(part.fts5() for part in self.parts)})"

    def wanted(self) -> Iterator[Phrase]:
        for part in self.parts:
            yield from part.wanted()


Node: TypeAlias = Phrase | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Query:
    """A query that was understood: what was written, and the tree that it means."""

    text: str
    root: Node

    def matches(self, line: str) -> bool:
        """Whether the text of which ``line`` is the :func:`terms` is a hit."""
        return self.root.matches(line)

    def fts5(self) -> str:
        """The same as an expression for FTS5's MATCH, on a table whose column holds :func:`terms`."""
        return self.root.fts5()

    def wanted(self) -> Iterator[Phrase]:
        """The phrases whose presence can make a hit: what to highlight."""
        return self.root.wanted()


def parse(text: str) -> Query:
    """The query that a person wrote; ``InvalidRequestError`` names the place where it cannot be understood.

    ``one two`` both words · ``one OR two`` · ``-two`` or ``NOT two`` without · ``"one two"`` together, in this order ·
    ``tw*`` words that begin so · ``(…)`` grouping. AND binds closer than OR; the operators are in capitals. Other
    punctuation means nothing, and a word with some inside (``re-read``, ``snake_case``) is a phrase.
    """
    if not isinstance(text, str):
        raise InvalidRequestError(f"a query is a string, not {type(text).__name__}")
    if len(text) > MAX_QUERY:
        raise InvalidRequestError(
            f"the query has {len(text):,} characters, at most {MAX_QUERY:,} are allowed", hint="a few words will do"
        )
    reader = _Reader(text)
    root = reader.any(0)
    if reader.kind == "close":
        raise _refusal(reader.at, "this ) closes nothing", _OR_QUOTE)
    if root is None:
        raise InvalidRequestError("the query has no word to look for", hint="give a word, or a part of one and *")
    return Query(text, root)


class _Lexeme(NamedTuple):
    kind: str
    text: str
    at: int
    prefix: bool = False


_LEXEME = re.compile(
    r"""
      \s+
    | (?P<open>\() | (?P<close>\))
    | (?P<NOT>NOT(?![^\s()"“”„]) | -(?=[^\s\-)]))
    | (?P<AND>AND(?![^\s()"“”„])) | (?P<OR>OR(?![^\s()"“”„]))
    | ["“”„](?P<quoted>[^"“”„]*)["“”„](?P<star>\*?)
    | (?P<stray>["“”„])
    | (?P<word>[^\s()"“”„]+)
    """,
    re.VERBOSE,
)
_OR_QUOTE = 'leave it out, or put what is meant literally in quotation marks: "…"'


_ENDS = ("end", "close", "OR")


class _Reader:
    """Recursive descent, one method a level; each gives None where nothing in it is a word."""

    def __init__(self, text: str) -> None:
        self._lexemes = [*_lex(text), _Lexeme("end", "", len(text))]
        self._next = 0
        self._words = 0

    @property
    def kind(self) -> str:
        return self._lexemes[self._next].kind

    def take(self) -> _Lexeme:
        self._next += 1
        return self._lexemes[self._next - 1]

    @property
    def at(self) -> int:
        return self._lexemes[self._next].at

    def any(self, depth: int) -> Node | None:
        if self.kind == "OR":
            raise _refusal(self.at, "OR stands between two words", _OR_QUOTE)
        parts = [self.all(depth)]
        while self.kind == "OR":
            at = self.take().at
            parts.append(self.all(depth))
            if parts[-1] is None or parts[-2] is None:
                raise _refusal(at, "OR stands between two words", _OR_QUOTE)
        found = tuple(part for part in parts if part is not None)
        return AnyOf(found) if len(found) > 1 else found[0] if found else None

    def all(self, depth: int) -> Node | None:
        begin = at = self.at
        parts: list[Node] = []
        without: list[Node] = []
        while self.kind not in _ENDS:
            if self.kind == "AND":
                at = self.take().at
                if at == begin or self.kind in _ENDS or self.kind == "AND":
                    raise _refusal(at, "AND stands between two words", _OR_QUOTE)
            wanted = self.kind != "NOT"
            if not wanted:
                self.take()
            if self.kind not in ("word", "quoted", "open"):
                raise _refusal(self.at, "here should be a word to leave out", _OR_QUOTE)
            part = self.one(depth)
            if part is not None:
                (parts if wanted else without).append(part)
        if without and not parts:
            raise _refusal(begin, "this only says what to leave out", "say what to look for as well: found -notfound")
        if len(parts) == 1 and not without:
            return parts[0]
        return AllOf(tuple(parts), tuple(without)) if parts else None

    def one(self, depth: int) -> Node | None:
        lexeme = self.take()
        if lexeme.kind != "open":
            return self._phrase(lexeme)
        if depth == MAX_DEPTH:
            raise _refusal(lexeme.at, f"more than {MAX_DEPTH} parentheses inside one another", "leave some out")
        inside = self.any(depth + 1)
        if self.kind != "close":
            raise _refusal(lexeme.at, "this ( is never closed", _OR_QUOTE)
        self.take()
        return inside

    def _phrase(self, lexeme: _Lexeme) -> Phrase | None:
        if lexeme.kind == "word" and "*" in lexeme.text.rstrip("*"):
            raise _refusal(lexeme.at, "a * stands at the end of a word", _OR_QUOTE)
        tokens = tuple(word.token for word in words(lexeme.text))
        self._words += len(tokens)
        if self._words > MAX_WORDS:
            raise _refusal(lexeme.at, f"more than {MAX_WORDS} words", "a few words will do")
        return Phrase(tokens, lexeme.prefix) if tokens else None


def _lex(text: str) -> Iterator[_Lexeme]:
    for found in _LEXEME.finditer(text):
        kind = found.lastgroup
        if kind == "stray":
            raise _refusal(found.start(), "this quotation mark is never closed", 'close it with ", or leave it out')
        if kind == "star":  # the last group of what is quoted
            yield _Lexeme("quoted", found["quoted"], found.start(), prefix=bool(found["star"]))
        elif kind is not None:
            yield _Lexeme(kind, found[0], found.start(), prefix=found[0].endswith("*"))


def _refusal(at: int, problem: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError(f"the query, character {at + 1}: {problem}", hint=hint)


# -- snippets --------------------------------------------------------------------------------------------------------

SNIPPET = 160
"""Characters of a hit's snippet."""
MIN_SNIPPET = 8


class Snippet(NamedTuple):
    """A part of a text, in one line, and the matches in it as (start, stop) in characters of the snippet."""

    text: str
    matches: tuple[tuple[int, int], ...]


def snippet(text: str, query: Query, width: int = SNIPPET) -> Snippet:
    """At most ``width`` (8 or more) characters of ``text`` around the query's first match, with ``…`` where it is cut.

    White space is shown as one space. Control characters are left as they are: a terminal must not get them.
    """
    text = " ".join(text.split())
    matches = _places(text, query)
    first, last = matches[0] if matches else (0, 0)
    start, stop = _window(text, first, last, max(width, MIN_SNIPPET))
    before = "…" if start else ""
    shift = len(before) - start
    return Snippet(
        before + text[start:stop] + ("…" if stop < len(text) else ""),
        tuple((begin + shift, min(end, stop) + shift) for begin, end in matches if begin < stop),
    )


def _places(text: str, query: Query) -> list[tuple[int, int]]:
    """Where the query's phrases stand, in order, without overlap."""
    found = list(words(text))
    numbers: dict[int, int] = {}  # by the place of the space before it in the line: which token
    at = 0
    for number, word in enumerate(found):
        numbers[at] = number
        at += 1 + len(word.token)
    line = terms(text)

    places: list[tuple[int, int]] = []
    for phrase in query.wanted():
        at = line.find(phrase.pattern)
        while at >= 0:
            number = numbers[at]
            places.append((found[number].start, found[number + len(phrase.tokens) - 1].stop))
            at = line.find(phrase.pattern, at + 1)
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(places):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _window(text: str, first: int, last: int, width: int) -> tuple[int, int]:
    """Which part of ``text`` to show: up to a third of the width before the match, cut between words that are near."""
    if len(text) <= width:
        return 0, len(text)
    start = max(0, min(first - width // 3, len(text) - width + 1))
    if start:
        width -= 1
        start = text.find(" ", start - 1, first) + 1 or start
    stop = start + width
    if stop >= len(text):
        return start, len(text)
    stop -= 1
    space = text.rfind(" ", max(last, stop - 16), stop + 1)
    return start, stop if space < 0 else space
