"""The pure part of searching, by the numbers of :mod:`bough.search`'s docstring."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bough import codec, search
from bough.errors import InvalidRequestError
from bough.search import parse, snippet, terms, text_of, words

PIECES = [
    *("one", "two", "on", "t", "A", "É", "e", "e\u0301", "ß", "ss", "ﬁ", "x2", "x²", "½", "⑴", "ﷺ", "\u0301", "\u0345"),
    *(
        "会",
        "話",
        "か",
        "が",
        "か\u3099",
        "ｶﾞ",
        "한",
        "ᄒ\u1161\u11ab",
        "ㅠ",
        "กำ",
        "กํา",
        "🌳",
        "👍🏽",
        "👩\u200d💻",
        "❤\ufe0f",
    ),
    *("_", "-", "'", "\0", "\ud800", "\n", " ", " ", " ", ",", "─", "\u200b", "\u00ad", "İ", "ı", "ς", "Ϊ\u0301"),
]
SYNTAX = [" OR ", " AND ", " NOT ", " -", '"', "“", "(", ")", "*", "* "]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=40)
QUERIES = st.lists(st.sampled_from(PIECES + SYNTAX), max_size=10).map("".join)


def found(text: str, query: str) -> bool:
    return parse(query).matches(terms(text))


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Two words", ["two", "words"]),
        ("snake_case, kebab-case; don't", ["snake", "case", "kebab", "case", "don", "t"]),
        ("Größe STRASSE Straße", ["grosse", "strasse", "strasse"]),
        ("Łódź Đà smørrebrød æble œuvre ısı ISI", ["lodz", "da", "smorrebrod", "aeble", "oeuvre", "isi", "isi"]),
        ("café cafe\u0301 ﬁne ＷＩＤＥ x²", ["cafe", "cafe", "fine", "wide", "x2"]),
        ("ΣΊΣΥΦΟΣ σίσυφος İstanbul", ["σισυφοσ", "σισυφοσ", "istanbul"]),
        ("会話 abc会", ["会", "話", "abc", "会"]),
        ("カﾞｶﾞか\u3099が", ["ガ", "ガ", "が", "が"]),
        ("한국 \u1112\u1161\u11ab", ["한", "국", "한"]),
        ("กำ กา", ["กํ", "า", "ก", "า"]),
        ("ㅋㅠㅠ", ["\u110f", "\u1172", "\u1172"]),
        ("हिन्दी", ["हिन्दी"]),
        ("مُحَمَّد שָׁלוֹם", ["محمد", "שלום"]),
        ("👍🏽 👩\u200d💻 ❤\ufe0f🇫🇷", ["👍", "👩", "💻", "❤", "🇫", "🇷"]),
        ("└── ███ ⠙ 3 € → 4", ["3", "4"]),
        ("½ ⑴ ㍿", ["1", "2", "1", "株", "式", "会", "社"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zero", "width"]),
        ("\u0301\0\ud800\ufeff", []),
        ("x" * 200, ["x" * search.MAX_TOKEN]),
        ("ü" * 200, ["u" * search.MAX_TOKEN]),
    ],
)
def test_what_a_word_is(text: str, tokens: list[str]) -> None:
    assert [word.token for word in words(text)] == tokens


@given(TEXTS)
def test_1_a_line_of_terms_is_what_words_says(text: str) -> None:
    tokens = [word.token for word in words(text)]
    assert terms(text) == " ".join(["", *tokens, ""])


@given(TEXTS)
def test_words_stand_in_order_where_they_say(text: str) -> None:
    at = 0
    for word in words(text):
        assert at <= word.start < word.stop <= len(text)
        assert word.token in [each.token for each in words(text[word.start : word.stop])]
        at = word.start


@given(TEXTS)
def test_2_a_token_is_ascii_letters_and_digits_in_lower_case_and_characters_beyond_ascii(text: str) -> None:
    for word in words(text):
        assert word.token
        assert all(ord(char) > 127 or char.isdigit() or "a" <= char <= "z" for char in word.token)
        assert word.token.encode()


@given(TEXTS)
@example(text="".join(map(chr, range(0x3000))))
def test_3_the_terms_of_terms_are_the_same(text: str) -> None:
    assert terms(terms(text)) == terms(text)


def test_2_and_3_hold_for_every_character() -> None:
    for start in range(0, sys.maxunicode + 1, 0x4000):
        line = terms(" ".join(map(chr, range(start, start + 0x4000))))
        assert terms(line) == line
        assert not {char for char in line if ord(char) < 128} - set(" 0123456789abcdefghijklmnopqrstuvwxyz")


def test_normal_forms_make_no_difference() -> None:
    text = "Ångström, naïve; 각하, がぎぐ, ＡＢＣ, Việt Nam"
    lines = {terms(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(lines) == 1


# -- queries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("one", "say One!"),
        ("one two", "two, one"),
        ("one AND two", "two one"),
        ("one OR two", "two"),
        ("one two OR three", "three"),
        ("one (two OR three)", "three one"),
        ('"one two"', "one - two"),
        ("“one two”", "one two"),
        ("snake_case", "a snake case"),
        ("foo()", "def foo(self)"),
        ("tw*", "two"),
        ('"one tw"*', "one two"),
        ("--verbose", "use --verbose"),
        ("a -> b", "a b"),
        ("one - two", "one two"),
        ("one -two", "one"),
        ("-two one", "one"),
        ("one NOT two", "one"),
        ('one -"two three"', "one three two"),
        ("one -(two three)", "one two"),
        ("one -(two OR three)", "one four"),
        ("会話", "新しい会話です"),
        ("会*", "会話"),
        ("한국", "한국어"),
        ("👍", "👍🏽 fine"),
        ("ORDER", "an order"),
        ("or", "this or that"),
        ("NOTE", "a note"),
        ("x" * 130, "x" * 140),
    ],
)
def test_it_finds(query: str, text: str) -> None:
    assert found(text, query)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("one", "ones"),
        ("one two", "one"),
        ("one two OR three", "two"),
        ("one (two OR three)", "two three"),
        ('"one two"', "two one"),
        ('"one two"', "one three two"),
        ('"one tw"', "one two"),
        ("tw*", "atwo"),
        ('"tw*"', "two"),
        ("one -two", "one two"),
        ("one NOT two", "one two"),
        ('one -"two three"', "one two three"),
        ("one -(two OR three)", "one three"),
        ("会話", "話会"),
        ("か", "が"),
        ("กำ", "กา"),
        ("don't", "dont"),
    ],
)
def test_it_does_not_find(query: str, text: str) -> None:
    assert not found(text, query)


@pytest.mark.parametrize(
    ("query", "place", "problem"),
    [
        ('one "two', 5, "quotation mark is never closed"),
        ('5"', 2, "quotation mark is never closed"),
        ("one t*o", 5, "a * stands at the end of a word"),
        ("*wo", 1, "a * stands at the end of a word"),
        ("one (two", 5, "( is never closed"),
        ("((one) two", 1, "( is never closed"),
        ("one) two", 4, ") closes nothing"),
        ("OR one", 1, "OR stands between"),
        ("one OR", 5, "OR stands between"),
        ("one OR ,,", 5, "OR stands between"),
        ("one OR OR two", 5, "OR stands between"),
        ("(one OR) two", 6, "OR stands between"),
        ("AND one", 1, "AND stands between"),
        ("one AND", 5, "AND stands between"),
        ("one AND AND two", 5, "AND stands between"),
        ("one AND OR two", 5, "AND stands between"),
        ("one (AND two)", 6, "AND stands between"),
        ("one NOT", 8, "a word to leave out"),
        ("one NOT NOT two", 9, "a word to leave out"),
        ("one NOT AND two", 9, "a word to leave out"),
        ("-one", 1, "only says what to leave out"),
        ("one OR -two", 8, "only says what to leave out"),
        ("one (-two)", 6, "only says what to leave out"),
        ("(" * 21 + "one" + ")" * 21, 21, "more than 20 parentheses"),
        ("one " * 501, 2001, "more than 500 words"),
    ],
)
def test_5_a_refusal_names_the_place(query: str, place: int, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse(query)
    assert f"character {place}: " in str(caught.value)
    assert problem in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("query", ["", " ", "\0", "...", '""', "()", "*", "-", "- -", "\ud800", "(!) ()"])
def test_5_a_query_without_a_word_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequestError, match="no word to look for"):
        parse(query)


def test_5_a_query_that_is_no_string_or_too_long_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not bytes"):
        parse(b"one")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="100,000 characters"):
        parse("(" * 100_000)


@given(
    QUERIES | st.text(alphabet=st.characters()) | st.binary().map(lambda data: data.decode(errors="surrogateescape"))
)
@example("(" * 4000)
@example("(a " * 1300)
@example('"' * 3999)
@example("- " * 2000)
@example("-(" * 2000)
@example("a OR " * 800)
@example("ﷺ" * 4000)
def test_5_any_string_is_a_query_or_refused(text: str) -> None:
    try:
        query = parse(text)
    except InvalidRequestError:
        return
    assert query.text == text
    assert list(query.wanted())
    assert query.fts5()
    query.matches(terms(text))


# -- FTS5 ------------------------------------------------------------------------------------------------------------


def fts5_finds(lines: list[str], query: search.Query) -> list[int]:
    """Which lines a real index finds."""
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE VIRTUAL TABLE lines USING fts5(words, content='', tokenize='ascii')")
    connection.executemany("INSERT INTO lines (rowid, words) VALUES (?, ?)", enumerate(lines))
    rows = connection.execute("SELECT rowid FROM lines WHERE lines MATCH ? ORDER BY rowid", (query.fts5(),))
    return [row[0] for row in rows]


@settings(max_examples=400)
@given(st.lists(TEXTS, min_size=1, max_size=12), QUERIES)
def test_4_an_index_finds_what_matches(texts: list[str], written: str) -> None:
    try:
        query = parse(written)
    except InvalidRequestError:
        return
    lines = list(map(terms, texts))
    assert fts5_finds(lines, query) == [at for at, line in enumerate(lines) if query.matches(line)]


SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "ab", "会", "x"]), max_size=5).map(" ".join)
WORDS = st.sampled_from(["a", "b", "c", "ab", "会", "a*", '"a b"', '"b a"*', "会会"])
TREES = st.recursive(
    WORDS,
    lambda inner: st.lists(inner, min_size=2, max_size=3).flatmap(
        lambda parts: st.sampled_from(
            [
                f"({' '.join(parts)})",
                f"({' OR '.join(parts)})",
                f"({parts[0]} -{parts[1]} -{parts[-1]})",
                f"({parts[0]} NOT {parts[1]} x)",
            ]
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c", "ab", "会", "x"]), max_size=5).map(" ".join), min_size=5), TREES
)
def test_4_an_index_finds_what_a_tree_matches(texts: list[str], written: str) -> None:
    query = parse(written)
    lines = list(map(terms, texts))
    assert fts5_finds(lines, query) == [at for at, line in enumerate(lines) if query.matches(line)]


@pytest.mark.parametrize(
    "written",
    [
        "(" * 20 + "a" + ")" * 20,
        "(a OR (b c " * 10 + "a" + "))" * 10,
        "(a -(b OR " * 10 + "a" + "))" * 10,
        " ".join(f"a{at}" for at in range(500)),
        " OR ".join(f"a{at}" for at in range(400)),
        "a " + " ".join(f"-a{at}" for at in range(400)),
        '"' + "a " * 500 + '"*',
    ],
)
def test_4_the_largest_queries_are_no_more_than_an_index_takes(written: str) -> None:
    query = parse(written)
    lines = [terms(written), terms("a"), terms("a b c"), terms("a " * 600)]
    assert fts5_finds(lines, query) == [at for at, line in enumerate(lines) if query.matches(line)]


# -- messages --------------------------------------------------------------------------------------------------------

ARGUMENTS = {"city": "Zürich", "nights": 3, "note": 'first line\nsecond "line"', "id": "PNR-77"}
SAID = "city Zürich nights 3 note first line second line id PNR 77"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "user", "content": "Hello"}, "Hello"),
        ({"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}, "one two"),
        ({"role": "tool", "tool_call_id": "call_1", "content": "done"}, "done"),
        ({"type": "message", "id": "m", "sessionId": "s", "custom": {"deep": ["x", {"y": "z"}]}}, "x z"),
        ({"role": "tool", "name": "read_file", "content": None, "n": 5}, "read file"),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c",
                        "type": "function",
                        "function": {"name": "book", "arguments": codec.dumps(ARGUMENTS).decode()},
                    }
                ],
            },
            f"book {SAID}",
        ),
        ({"content": [{"type": "tool_use", "id": "t", "name": "book", "input": ARGUMENTS}]}, f"book {SAID}"),
        ({"type": "function_call", "call_id": "c", "name": "book", "args": ARGUMENTS}, f"book {SAID}"),
        ({"input": [{"type": "input_text", "text": "one"}], "arguments": ""}, "one"),
        ({"content": '{"text": "a\\nb \\ud83c\\udf33 \\u00e9t\\u00e9'}, "text a b 🌳 été"),
        ({"content": "C:\\new {"}, "C new"),
        ({"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}, "ok"]}, "ok"),
        ({"content": "see data:text/plain,hello%20there and DATA:image/gif;base64,R0lG, then"}, "see and then"),
        ({"content": [{"source": {"type": "base64", "media_type": "image/png", "data": "iVBO" * 100}}, "ok"]}, "ok"),
        ({"content": "https://example.org/a"}, "https example org a"),
        ({"content": "x", "logprobs": {"content": [{"token": "y"}]}, "signature": "z"}, "x"),
        ({"arguments": {"lone": "\ud800x"}}, "lone x"),
        ({}, ""),
    ],
)
def test_the_text_of_a_message(message: dict[str, Any], text: str) -> None:
    assert terms(text_of(message)) == terms(text)


def test_the_text_of_a_message_of_any_depth() -> None:
    nested: Any = "deep"
    for at in range(50_000):
        nested = [nested] if at % 2 else {"content": nested}
    assert text_of({"content": nested}) == "deep"


# -- snippets --------------------------------------------------------------------------------------------------------


def test_a_snippet_shows_the_first_match_and_marks_every_one() -> None:
    text = "word " * 50 + "the   Night\n\nTrain, a night train " + "word " * 50
    shown = snippet(text, parse('"night train"'), 60)
    assert shown.text == "…word word word the Night Train, a night train word word…"
    assert [shown.text[start:stop] for start, stop in shown.matches] == ["Night Train", "night train"]
    assert snippet("no match here", parse("absent"), 60) == ("no match here", ())
    assert snippet("会話を検索する", parse("検索 -x OR 会")) == ("会話を検索する", ((0, 1), (3, 5)))
    assert snippet("one x two", parse("one -x")).matches == ((0, 3),)


def test_a_snippet_of_a_match_at_an_end() -> None:
    text = " ".join(f"w{at}" for at in range(100))
    assert snippet(text, parse("w0"), 20).text == "w0 w1 w2 w3 w4 w5…"
    assert snippet(text, parse("w99"), 20) == ("…w95 w96 w97 w98 w99", ((17, 20),))
    assert snippet("会" * 50 + "話" + "会" * 50, parse("話"), 12) == ("…会会会会話会会会会会…", ((5, 6),))
    assert snippet(text, parse(f'"{text}"'), 20) == ("w0 w1 w2 w3 w4 w5 w…", ((0, 19),))


@given((TEXTS | SENTENCES).map(lambda text: f"{text} " * 5), QUERIES | TREES, st.integers(search.MIN_SNIPPET, 60))
@example("one会two" * 5, "two", 8)
def test_a_snippet_is_one_line_no_longer_than_asked_for(text: str, written: str, width: int) -> None:
    try:
        query = parse(written)
    except InvalidRequestError:
        return
    shown = snippet(text, query, width)
    assert len(shown.text) <= width
    assert "\n" not in shown.text
    assert shown.text.strip("…") in " ".join(text.split())
    assert bool(shown.matches) >= query.matches(terms(text))
    at = 0
    for start, stop in shown.matches:
        assert at <= start < stop <= len(shown.text)
        at = stop + 1
