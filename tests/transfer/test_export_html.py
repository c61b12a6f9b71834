"""One page, and what a browser makes of it. Numbers cite the module's docstring.

A browser is found by its usual names on the PATH: Debian's ``chromium-headless-shell`` is the smallest.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from export_kit import branch, exported, hostile, memory, merged, say, written
from hypothesis import given
from hypothesis import strategies as st

from bough.manager import ConversationBranchManager
from bough.transfer.export.html import MAX_NESTING

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium")

TAGS = {"html", "head", "meta", "title", "style", "body", "nav", "h1", "ul", "li", "a", "b", "bdi", "br", "small"}
TAGS |= {"main", "section", "article", "header", "span", "div", "pre", "details", "summary", "p"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "href", "id", "class", "dir", "open"}


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check(page: str) -> Elements:
    """1: no element, attribute or link but ours."""
    elements = Elements(page)
    assert {tag for tag, _ in elements.found} <= TAGS
    assert {name for _, attributes in elements.found for name in attributes} <= ATTRIBUTES
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[brm][0-9-]+", each or "") for each in ids)
    for _, attributes in elements.found:
        if "href" in attributes:
            assert str(attributes["href"])[:1] == "#"
            assert str(attributes["href"])[1:] in ids
    return elements


def hostile_session() -> ConversationBranchManager:
    manager = memory()
    for text in hostile():
        call = {"id": text, "type": "function", "function": {"name": text, "arguments": text}}
        manager.add_messages(
            [
                {"role": text, "content": text, "metadata": {"time": text}},
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": text}}, {"type": text}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": text}], "tool_calls": [call, text]},
                {"role": "tool", "content": [{"type": "file", "file": {"filename": text}}, text], text: text},
            ]
        )
        branch(manager, text.replace("\0", ""), 2, text)
    manager.set_session_metadata({"title": next(hostile())})
    return manager


SIGNS = st.text("<>/&;#\"'=a x!-")


@given(SIGNS | st.text() | st.sampled_from(list(hostile())), SIGNS | st.text())
def test_any_text_is_text(role: str, text: str) -> None:
    manager = memory()
    manager.add_messages([{"role": role, "content": text}])
    elements = check(written("html", manager).decode())
    assert sum(tag == "article" for tag, _ in elements.found) == 1


def test_nothing_is_loaded_and_nothing_runs() -> None:
    """2"""
    page = written("html", hostile_session()).decode()
    check(page)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy is not None
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy[1] == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"url\(|@import|<script|<link|src=", page.partition("</style>")[0])


def test_a_message_stands_once_and_where_a_merge_brought_it() -> None:
    """3"""
    page = written("html", merged()).decode()
    assert page.count(">two</div>") == 1
    assert page.count(">idea three</div>") == 2 + 1  # idea, main, and the copy that late took of main's
    manager = memory()
    manager.add_messages(say("one"))
    assert '<p class="switch">' not in written("html", manager).decode()


def test_code_calls_and_thoughts() -> None:
    manager = memory()
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    manager.add_messages([{"role": "assistant", "content": "see\n```py\n1 < 2\n```\nthere", "tool_calls": [call]}])
    page = written("html", manager).decode()
    assert '<div class="text" dir="auto">see</div><pre>1 &lt; 2\n</pre><div class="text" dir="auto">there</div>' in page
    assert "<details open><summary>Calls <b><bdi>look</bdi></b></summary>" in page
    manager.add_messages([{"role": "tool", "content": "<long>" * 200}])
    preview = "&lt;long&gt;" * 20
    assert (
        f"<details><summary>Result <small><bdi>{preview}</bdi></small></summary>" in written("html", manager).decode()
    )
    manager.tag("v1", "main~1")
    assert '<p class="end">Tag <b><bdi>v1</bdi></b></p>' in written("html", manager).decode()
    assert "{\n  &quot;a&quot;: 1\n}</pre></details>" in page


def test_sections_do_not_stand_too_deep() -> None:
    """5"""
    manager = memory()
    for number in range(MAX_NESTING + 20):
        manager.add_messages(say(f"m{number}"))
        branch(manager, f"b{number}", number, "x")
    page = written("html", manager).decode()
    check(page)
    depth = deepest = 0
    for tag in re.findall(r"</?section", page):
        depth += 1 if tag == "<section" else -1
        deepest = max(deepest, depth)
    assert depth == 0
    assert deepest == MAX_NESTING + 1
    assert page.count("<article") == 2 * (MAX_NESTING + 20)


# -- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dom(tmp_path: Path) -> Callable[..., str]:
    """Loads a page and gives what became of it, with the script run that is asked for."""

    def load(page: str, *, fragment: str = "", script: str = "") -> str:
        if script:  # what a test looks at, never a message: the page's own policy is taken out for it
            page = without_policy(page).replace("</body>", f"<script>{script}</script></body>")
        file = tmp_path / "page.html"
        file.write_bytes(page.encode())
        assert BROWSER is not None
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        args = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", profile, "--virtual-time-budget=3000"]
        done = subprocess.run(
            [*args, "--dump-dom", f"{file.as_uri()}{fragment}"], capture_output=True, timeout=120, check=True
        )
        return done.stdout.decode()

    return load


def without_policy(page: str) -> str:
    found = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert found != page
    return found


@needs_browser
def test_messages_run_nothing_in_a_browser(dom: Callable[..., str]) -> None:
    """1, 2: by escaping alone, by the policy alone, and with neither they would."""
    page = written("html", hostile_session()).decode()
    assert page.count("PWNED") > 20
    for each in (page, without_policy(page)):
        shown = dom(each)
        assert not ran(shown)
        assert len(check(shown).found) == len(check(each).found)
    raw = page.replace("<main>", f"<main>{''.join(hostile())}")
    assert not ran(dom(raw))
    assert ran(dom(without_policy(raw)))  # or the test would see nothing


def ran(page: str) -> bool:
    """Whether the scripts of messages were heard: in their own text the word stands behind a quote."""
    return re.search(r"(?<!')(?<!&#x27;)PWNED", page) is not None


SHOWN = """
addEventListener("load", () => setTimeout(() => {
  const seen = [...document.querySelectorAll("article")].filter(each => each.checkVisibility())
    .map(each => each.querySelector(".text").textContent);
  document.body.replaceChildren(JSON.stringify(seen));
}, 100));
"""


def seen(dom: Callable[..., str], page: str, fragment: str = "") -> list[str]:
    shown = dom(page, fragment=fragment, script=SHOWN)
    found = re.search(r"<body>(.*?)</body>", shown, re.DOTALL)
    assert found is not None, shown
    answer: list[str] = json.loads(found[1].replace("&amp;", "&"))
    return answer


@needs_browser
def test_one_way_is_shown_and_the_address_says_which(dom: Callable[..., str]) -> None:
    """4"""
    manager = merged()
    page = written("html", manager).decode()
    names = [record.id for record in exported(manager).branches]
    texts = {name: [message["content"] for message in manager.get_messages(name)] for name in names}
    assert seen(dom, page)[: len(texts["main"])] == texts["main"]
    for number, name in enumerate(names):
        found = seen(dom, page, f"#b{number}")
        assert found[: len(texts[name])] == texts[name], name
        assert len(found) - len(texts[name]) in (0, 1)  # behind the end of main goes on what was forked there
    replies = re.findall(r'<section id="(r\d+)">\n<p class="switch">.*? (\d/\d) ', page)
    assert {count for _, count in replies} >= {"1/2", "2/2"}
    manager.checkout("idea")
    assert seen(dom, written("html", manager).decode()) == texts["idea"]
