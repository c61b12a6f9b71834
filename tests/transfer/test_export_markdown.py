"""Markdown whose structure is ours alone, as a CommonMark parser sees it."""

from __future__ import annotations

import pytest
from export_kit import exported, hostile, memory, merged, say, written
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bough.model import Message
from bough.transfer.export import EXPORTS
from bough.transfer.export.markdown import code, fenced, inline, text
from bough.transfer.export.text import visible

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
COMMON = "# h|## h|text|```|````|```py|~~~|    ```|- item|  ```|> ```|1. ```|<!--|<pre>|===|---||`|- a|[x]: y|<div>"
ODD = ["- <!--", "\t```", "* ---", "+ ```", "``` x`y", "###", "| a |", "|-|", "> [x]: y", "\\"]
LINES = st.sampled_from([*COMMON.split("|"), *ODD])
TEXTS = st.one_of(st.lists(LINES, max_size=8).map("\n".join), st.text(max_size=60), st.sampled_from(list(hostile())))

CODE = ["`<b>`", "`", "``", "```", "~~~", "````", "    ", "  ", "\t", "- ", "1. ", "> ", "|", "|-|", "| a |", " \\"]
LINKS = ["[a](", "[a]", "[a]: ", "](", "(x)", '"', "'", ")", "[", "]", "<https://a.b", "https://a", ">", "www.a.b/"]
TAGS = ["<b>", "</b>", "\\<b>", "<!-- x -->", "<?x?>", "<script>", "<div", "<a href='`'>", "<![CDATA[x]]>", "<x:y>"]
SIGNS = st.sampled_from([*CODE, *LINKS, *TAGS, "\n", "\n", "\n\n", " ", "a", "# "])
AWKWARD = st.lists(SIGNS, max_size=14).map("".join)


def structure(page: str) -> list[tuple[str, str]]:
    """The headings that stand in nothing else, and what is in them."""
    tokens = PARSER.parse(page)
    return [
        (token.tag, tokens[at + 1].content)
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0
    ]


@settings(max_examples=400)
@given(st.lists(TEXTS, max_size=4), st.lists(TEXTS, max_size=2))
def test_no_message_changes_the_page_around_it(texts: list[str], outputs: list[str]) -> None:
    manager = memory()
    manager.add_messages([{"role": "user", "content": one} for one in texts])
    manager.add_messages([{"role": "tool", "content": one} for one in outputs])
    for one in texts:
        manager.add_messages([{"role": "assistant", "content": [{"type": "thinking", "thinking": one}, {"x": one}]}])
    page = written("markdown", manager).decode()
    found = structure(page)
    assert [tag for tag, _ in found] == ["h1", *["h3"] * (2 * len(texts) + len(outputs))]
    numbers = [content.split()[0] for _, content in found[1:]]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]


def tokens(page: str) -> list[Token]:
    return [each for token in PARSER.parse(page) for each in (token, *(token.children or ()))]


@settings(max_examples=400)
@given(AWKWARD | TEXTS)
def test_nothing_is_html_and_code_stays_as_it_is(said: str) -> None:
    """2"""
    for shown in (text(said), text(said, quote=True)):
        found = tokens(f"{shown}\n\n### 1 · user\n")
        assert [each.type for each in found if each.type.startswith("html_")] == [], shown
        assert [each.level for each in found if each.type == "inline" and each.content == "1 · user"] == [1], shown
        code = [each.content for each in found if each.type in ("code_inline", "fence")]
        assert "\\<" in said or not any("\\<" in each for each in code), shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a <b>x</b> and 1 < 2 <3 <https://a.b/c>", "a \\<b>x\\</b> and 1 < 2 <3 <https://a.b/c>"),
        ("use `<b>` or <b>\n\n```html\n<i>\n```\n<u>", "use `<b>` or \\<b>\n\n```html\n<i>\n```\n\\<u>"),
        ("1. so:\n   ~~~\n   <i>\n   ~~~", "> 1. so:\n>    ~~~\n>    <i>\n>    ~~~"),
        ("see [`a`](https://a.b) and `<b>`", "see [`a`](https://a.b) and `<b>`"),
        ("# Head\n\n<b>", "> # Head\n>\n> \\<b>"),
        ("a \\<b> \\\\<b>", "a \\<b> \\\\\\<b>"),
        ("it's a ` and `<b>`", "```\nit's a ` and `<b>`\n```"),
        ("- ```\n  <b>\n  ```", "````\n- ```\n  <b>\n  ```\n````"),
    ],
)
def test_html_is_escaped_where_it_is_no_code(said: str, shown: str) -> None:
    """2"""
    assert text(said) == shown


@given(TEXTS)
def test_text_in_code_is_that_text(said: str) -> None:
    [token] = PARSER.parse(fenced(said))
    assert (token.type, token.content) == ("fence", f"{visible(said)}\n")
    [paragraph] = [each for each in PARSER.parse(f"a {code(said)} b") if each.type == "inline"]
    assert paragraph.children is not None
    assert [each.type for each in paragraph.children] == ["text", "code_inline", "text"]


@given(TEXTS)
def test_a_name_is_text(said: str) -> None:
    inlines = [each for each in PARSER.parse(f"# a{inline(said)}a") if each.type == "inline"]
    assert len(inlines) == 1
    assert {each.type for each in inlines[0].children or ()} <= {"text", "text_special"}


def test_plain_prose_and_whole_code_stand_as_they_are() -> None:
    said = "Do *this*:\n\n- one\n- two\n\n```py\nprint(1)  # not a heading\n```\n\nthen that"
    assert text(said) == said
    assert text("## Steps\n\nfirst") == "> ## Steps\n>\n> first"
    assert text("```\nopen") == "> ```\n> open"


def test_a_page() -> None:
    manager = memory()
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at":"Rome"}'}}
    talk: list[Message] = [
        {"role": "user", "content": "weather?", "metadata": {"time": "2026-11-20T10:00:00.000Z"}},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "a ``` b"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
    ]
    manager.add_messages(talk)
    manager.set_session_metadata({"title": "Trip *to* Rome"})
    assert written("markdown", manager).decode() == (
        "# Trip \\*to\\* Rome\n\n"
        "### 1 · user · 2026-11-20 10:00\n\nweather?\n\n"
        '### 2 · assistant\n\nCalls `look`\n\n```\n{\n  "at": "Rome"\n}\n```\n\n'
        "### 3 · tool\n\nResult\n\n````\na ``` b\n````\n\n"
        "### 4 · user\n\nImage: `https://x/y.png`\n"
    )


def test_what_branches_share_is_told_once() -> None:
    page = written("markdown", merged()).decode()
    names = [content for tag, content in structure(page) if tag == "h2"]
    assert names[0] == "main (Main conversation)"
    assert sorted(names[1:]) == ["after", "idea", "late", "side"]
    assert "*Messages 1 to 2 are those of main.*\n\n### 3 · user\n\nidea three" in page
    assert "*The first message is that of main.*\n\n### 2 · user\n\nside two" in page
    assert page.count("\none\n") == 1
    assert b"## " not in b"".join(EXPORTS["markdown"].write(exported(merged(), "idea"))).replace(b"### ", b"")
    manager = memory()
    manager.add_messages(say("x"))
    assert written("markdown", manager).decode() == "# talk\n\n### 1 · user\n\nx\n"
