"""What is taken out, and that nothing else is. Numbers cite the module's docstring.

No key here is anybody's, and none stands in this file: they are put together, so that no scanner takes it for a leak.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from export_kit import branch, exported, merged, say
from hypothesis import given
from hypothesis import strategies as st

from bough.transfer.export import EXPORTS, Redactor, redacted
from bough.transfer.export.redact import PATTERNS

WORD = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"
LETTERS = "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGhIj"
UPPER = WORD[:16].upper()
DASHES = "-" * 5
PEM = f"{DASHES}BEGIN RSA PRIVATE KEY{DASHES}\n{WORD}{WORD}\n{WORD}==\n{DASHES}END RSA PRIVATE KEY{DASHES}"
NUMBERED = "".join(f"    {number}\u2192{line}\n" for number, line in enumerate(PEM.splitlines()[:-1], 1))
PARTS = ["eyJ" + WORD[:20], "eyJ" + WORD[:20], WORD]
LOGINS = [("postgres", "hunter2", "db"), ("https", "hunter2", "example.org"), ("https", "hun/ter2", "example.org")]
LOGINS += [("redis", "hun@ter2", "db"), ("amqp", "hun%40ter2", "db")]
SECRETS = {
    "private-key": [PEM, PEM.replace("RSA ", ""), PEM.replace("\n", "\\n"), PEM.partition("==")[0], NUMBERED],
    "anthropic-key": [f"sk-ant-api03-{WORD}-{WORD}", f"sk-ant-{LETTERS}"],
    "openai-key": [f"sk-{WORD}", f"sk-proj-{WORD}_{WORD}", f"sk-svcacct-{WORD}", f"sk-proj-{LETTERS}", f"sk-{LETTERS}"],
    "stripe-key": [f"sk_live_{WORD}", f"rk_test_{WORD}", f"whsec_{WORD}"],
    "aws-key-id": [f"AKIA{UPPER}", f"ASIA{UPPER}"],
    "aws-secret": [f"aws_secret_access_key = {WORD}12345678", f'"AWS_SECRET_ACCESS_KEY": "{WORD}12345678"'],
    "azure-key": [f"AccountName=x;AccountKey={WORD}{WORD}==", f"https://x.net/a?sv=1&sig={WORD}{WORD}%3D"],
    "github-token": [f"ghp_{WORD}1234", f"gho_{WORD}1234", f"github_pat_{WORD}_{WORD}"],
    "gitlab-token": [f"glpat-{WORD}", f"glpat-{WORD}.01.{UPPER}", f"glrt-{WORD}"],
    "google-key": [f"AIza{WORD}_-1", f"GOCSPX-{WORD}", f"ya29.{WORD}"],
    "slack-token": [f"xoxb-{WORD}-abcdef", f"xapp-1-A0-{WORD}"],
    "slack-webhook": [f"https://hooks.slack.com/services/T0/B0/{WORD}"],
    "npm-token": [f"npm_{WORD}1234"],
    "hugging-face-token": [f"hf_{WORD}"],
    "jwt": [".".join(PARTS)],
    "bearer-token": [f"Authorization: Bearer {WORD}==", f"bearer {WORD}"],
    "authorization": [
        "Authorization: Basic dXNlcjpwYXNz",
        f"authorization=token {WORD}",
        f"authorization: bearer {UPPER[:9]}",
    ],
    "password-in-url": [f"{scheme}://user:{word}@{host}/x" for scheme, word, host in LOGINS],
    "e-mail": ["alice@example.org", "a.b+c@sub.example.co.uk", "jürgen@münchen.de", "alice%40example.org"],
}


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_finds_its_own(name: str) -> None:
    for secret in SECRETS[name]:
        for text in (secret, f"see {secret} there", f"({secret})", f"x={secret};", f"<{secret}>", f"\n{secret}\n"):
            redactor = Redactor()
            made = redactor.text(text)
            assert f"[redacted:{name}]" in made, (text, made)
            assert WORD not in made
            assert redactor.counts == {name: 1}


@pytest.mark.parametrize(
    "text",
    [
        "a task-force of sk-learn users, risk-averse-and-slow-moving-people",
        "sk-some-css-class-name-that-is-long sk-spinner-double-bounce-child-bounce2 desk-ant-farm-of-many-colours",
        "disk-usage-of-2024-01-by-folder /task-1234-and-its-many-subtasks \\risk-2024-and-all-that-comes-of-it",
        "bearer of bad news",
        "me @ home, @mention, x@y, price@5.00",
        "AKIA is the beginning, npm_config_registry, hf_hub_download, glpat-short, xoxb-1, whsec_x, npm_run_build",
        "sk-proj-short sk-learners-and-other-people sk_live_x rk_test github_pat_ ghp_ AIza ya29.x GOCSPX-",
        "AccountKey=none, sig=x, 100%40 off, ?q=40%40b, SharedAccessKey = ",
        "-----BEGIN PUBLIC KEY-----",
        "eyJ is how one begins; eyJhbGci.x",
        "http://localhost:8080/a@b http://[::1]:8080/a@b https://<host>:<port>/a@b http://$HOST:$PORT/@scope/x",
        "http://localhost:3000\\n@mention file://C:/a/@scope/x",
        '{"code": "x = 1\\n@pytest.mark.parametrize\\u000a@functools.cache%0A@functools.wraps"}',
        "the basic authorization: token, the authorization: bearer of it, Authorization: Bearer ${TOKEN}",
        "[redacted:e-mail]",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    redactor = Redactor()
    assert redactor.text(text) == text
    assert not redactor.counts


ESCAPE = "\x1b"
KEY = SECRETS["github-token"][0]
UNREAD = {
    "JSON behind prose": 'Result: {"a": "key:\\n%s"}',
    "JSON Lines": '{"a": 1}\n{"a": "key:\\t%s"}\n',
    "truncated JSON": '{"a": "key:\\u000a%s", "tru',
    "truncated JSON in JSON in JSON": '["{\\"a\\": \\"key:\\\\\\\\n%s',
    "Python": "r'\\n%s'",
    "colour": f"{ESCAPE}[31m%s{ESCAPE}[0m",
    "colour, escaped": "\\u001b[1;31m%s\\u001b[0m",
    "colour whose escape is lost": "[31m%s[0m",
    "URL": "https://example.org/?t%%3D%s",
    "URL in a URL": "https://example.org/?t%%253D%s",
}


@pytest.mark.parametrize("place", UNREAD)
def test_an_escape_before_a_key_does_not_hide_it(place: str) -> None:
    """4"""
    for name in ("github-token", "anthropic-key", "npm-token", "jwt"):
        redactor = Redactor()
        assert redactor.text(UNREAD[place] % SECRETS[name][0]) == UNREAD[place] % f"[redacted:{name}]"
        assert redactor.counts == {name: 1}


def test_an_escape_in_a_key_does_not_hide_it() -> None:
    """4"""
    for key in (
        f"\\u0067{KEY[1:]}",
        f"%67{KEY[1:]}",
        f"{ESCAPE}[31mgh{ESCAPE}[mp_{ESCAPE}[K{KEY[4:]}",
        f"\\x67{KEY[1:]}",
    ):
        assert Redactor().text(f'{{"{key}": 1, "tru').endswith('[redacted:github-token]": 1, "tru')
    assert Redactor().text(f'["Bearer\\u0020{WORD}", ') == '["Bearer\\u0020[redacted:bearer-token]", '
    twice = json.dumps(json.dumps({"aws_secret_access_key": f"{WORD}12345678"}))
    assert json.loads(json.loads(Redactor().text(twice))) == {"aws_secret_access_key": "[redacted:aws-secret]"}
    assert WORD not in Redactor().text(twice[:-1])


def test_an_escape_is_not_cut() -> None:
    """4"""
    assert Redactor().text(r'x{"to": "\nalice@example.org\n"}') == r'x{"to": "\n[redacted:e-mail]\n"}'
    assert Redactor().text(f"C:\\{SECRETS['npm-token'][0]}") == r"C:\n[redacted:npm-token]"  # it might be a new line
    assert Redactor(["bob", "n"]).text(r"CORP\bob, \n") == r"CORP\b[redacted:own-1], [redacted:own-2]"


def test_json_in_a_key_of_an_object_is_looked_into() -> None:
    """1"""
    inner = json.dumps({"\u00e4": ["alice@example.org"]}).replace("alice", "\\u0061lice")
    made = Redactor().message({json.dumps([inner]): 1})
    assert [json.loads(json.loads(key)[0]) for key in made] == [{"\u00e4": ["[redacted:e-mail]"]}]


def test_what_overlaps_is_replaced_as_one() -> None:
    """5"""
    redactor = Redactor()
    assert redactor.text(f"https://{KEY}@github.com/x") == "https://[redacted:github-token]@github.com/x"
    assert redactor.text(f"https://{KEY}:x@github.com/x") == (
        "https://[redacted:github-token]:[redacted:password-in-url]@github.com/x"
    )
    assert redactor.text(f"https://user:a{KEY[:3]}-{KEY}/-@example.org") == (
        "https://user:[redacted:github-token]@example.org"
    )
    assert redactor.text(f"Bearer {SECRETS['jwt'][0]}+/~==") == "Bearer [redacted:jwt]"


def test_what_was_redacted_stays_as_it_is() -> None:
    """5"""
    for name, secrets in SECRETS.items():
        for secret in secrets:
            again, once = Redactor(), Redactor().text(f"see {secret} there")
            assert again.text(once) == once, name
            assert not again.counts


def test_each_pattern_is_documented() -> None:
    told = Path(__file__).parents[2].joinpath("docs", "export.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", told.partition("## Without secrets")[2], re.MULTILINE)
    assert sorted(re.findall(r"[a-z-]+", " ".join(rows))) == sorted(PATTERNS)


ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('a{["\\1 ')
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner) | st.dictionaries(st.text("a{"), inner), max_leaves=8)


@given(VALUES)
def test_a_message_without_secrets_is_the_same(value: Any) -> None:
    message = {"content": value, "arguments": json.dumps(value)}
    assert Redactor().message(message) == message


@given(st.lists(st.sampled_from(["text", "key", "json", "list", "deep"]), min_size=1, max_size=5), st.text(max_size=5))
def test_a_secret_is_found_at_any_depth_and_json_stays_json(ways: list[str], noise: str) -> None:
    """1, 2"""
    value: Any = f"{noise}\n\talice@example.org"
    for way in ways:
        if way == "json":
            value = json.dumps([value])
        elif way == "key":
            value = {"alice@example.org": value, "alice2@example.org": 1}
        elif way == "list":
            value = [noise, value]
        elif way == "deep":
            value = {"x": [{"y": value}]}
    redactor = Redactor()
    made = redactor.message({"content": value})
    assert "alice" not in json.dumps(made)
    assert redactor.counts["e-mail"] >= 1
    back = made["content"]
    for way in reversed(ways):
        if way == "json":
            [back] = json.loads(back)
        elif way == "key":
            assert len(back) == 2
            back = back["[redacted:e-mail]"]
        elif way == "list":
            back = back[1]
        elif way == "deep":
            back = back["x"][0]["y"]
    assert back == f"{noise}\n\t[redacted:e-mail]"


def test_a_key_that_stands_twice_hides_nothing() -> None:
    made = Redactor().text('{"a": "alice@example.org", "a": "x"}')
    assert "alice" not in made


def test_own_patterns_and_what_they_keep() -> None:
    redactor = Redactor([r"(?P<keep>ticket )\d+|(?P<more>!)", "Rome", "x*"])  # the last one finds nothing, everywhere
    assert redactor.text("ticket 12 to Rome") == "ticket [redacted:own-1] to [redacted:own-2]"
    assert redactor.counts == {"own-1": 1, "own-2": 1}


@pytest.mark.parametrize("format_", EXPORTS)
def test_every_format_is_without_them(format_: str) -> None:
    manager = merged()
    secrets = [secret for each in SECRETS.values() for secret in each]
    call = {"id": "c", "function": {"name": "look", "arguments": json.dumps({"to": secrets})}}
    manager.add_messages([{"role": "alice@example.org", "content": secrets, "tool_calls": [call]}])
    manager.add_messages(say(*secrets))
    for name in ("alice@example.org", "bob@example.org"):
        branch(manager, name, 1, "x")
        manager.tag(f"tag {name}")
    manager.merge("bob@example.org")
    manager.set_session_metadata({"title": f"for {secrets[0]}"})
    redactor = Redactor()
    made = b"".join(EXPORTS[format_].write(redacted(exported(manager), redactor))).decode()
    assert redactor.counts
    for secret in ["alice", "bob@", "ter2", "dXNlcjpwYXNz", WORD, UPPER, LETTERS]:
        assert secret not in made
    assert "redacted" in made


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----" * 3000,
        "a" * 200_000,
        "a.b" * 100_000 + "@",
        "a@" + "b." * 100_000,
        "@".join("a" * 50_000),
        "://" * 60_000,
        "sk-" * 60_000,
        "eyJ" + "a" * 100_000 + ".",
        "bearer " * 30_000,
        "{" * 100_000,
        "[" + '"a@b.c",' * 10_000,
        "\\" * 200_000 + "g",
        "%" + "25" * 100_000,
        "%41\\u0041" * 20_000,
        f"{ESCAPE}[" * 60_000,
        "authorization=" * 20_000,
    ],
)
def test_no_text_takes_for_ever(text: str) -> None:
    begin = time.perf_counter()
    Redactor().text(text)
    assert time.perf_counter() - begin < 20
