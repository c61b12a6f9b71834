"""Reading files of any format. Numbers cite the guarantees of ``bough.transfer``."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
import zipfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN

from bough.codec import decode
from bough.errors import UnsupportedFormatError
from bough.transfer import DATABASES, FORMATS, Conversation, Defect, read_conversations, records
from bough.transfer.sources import sources

CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
TREE = {
    "message_tree_id": "t1",
    "tree_state": "ready_for_export",
    "prompt": {"message_id": "t1", "role": "prompter", "text": "hi", "replies": []},
}


def written(folder: Path, lines: Iterable[bytes | dict[str, Any]], name: str = "talk.jsonl") -> Path:
    path = folder / name
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def outcome(path: Path, **options: Any) -> list[int | tuple[int, str]]:
    """For each item its line: bare for a conversation, with the reason for a defect."""
    return [
        item.line if isinstance(item, Conversation) else (item.line, item.reason)
        for item in read_conversations(path, **options)
    ]


@pytest.mark.parametrize("first", [CHAT, TREE], ids=["openai-chat", "openassistant"])
def test_a_format_is_recognised_whatever_the_file_is_called(tmp_path: Path, first: dict[str, Any]) -> None:
    assert outcome(written(tmp_path, [first], "no suffix")) == [1]


def test_a_format_given_by_name_is_not_guessed_at(tmp_path: Path) -> None:
    path = written(tmp_path, [CHAT, TREE])
    assert outcome(path) == outcome(path, format="openai-chat") == [1, (2, "messages is missing")]
    assert outcome(path, format="openassistant") == [(1, "message_tree_id is missing"), 2]


def test_every_format_is_recognised_by_one_only() -> None:
    for example in (CHAT, TREE):
        assert sum(each.recognises(example) for each in FORMATS.values()) == 1


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*/*.jsonl")), ids=lambda path: path.parent.name)
def test_no_line_of_a_golden_file_looks_like_another_format(path: Path) -> None:
    """Whichever line is the first that is whole."""
    for line in path.read_bytes().splitlines():
        try:
            value = decode(line)
        except ValueError:
            continue
        assert {name for name, each in FORMATS.items() if each.recognises(value)} <= {path.parent.name}


@pytest.mark.parametrize(
    "lines",
    [[b"some text"], [{"role": "user"}], [{"messages": "no list"}], [b"[1]"], [b"{"] * 1000 + [CHAT]],
    ids=["text", "another object", "another shape", "an array", "hopeless"],
)
def test_what_is_not_recognised_is_refused_before_anything_comes_out(
    tmp_path: Path, lines: list[bytes | dict[str, Any]]
) -> None:
    with pytest.raises(UnsupportedFormatError, match="not recognised") as caught:
        next(read_conversations(written(tmp_path, lines)))
    assert caught.value.hint == f"the formats are {', '.join([*FORMATS, *DATABASES])}"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([b"some text"], "1: not recognised as a conversation: no JSON object \\(Expecting value: .*\\)$"),
        ([b"", b"{torn", b"[]"], "2: not recognised as a conversation: no JSON object \\("),
        (
            [b"{torn", {"role": "user", "x" * 99: 1}],
            f"2: not recognised as a conversation: an object with the keys 'role', '{'x' * 29}…'$",
        ),
        ([dict.fromkeys("abcdefghijk")], "the keys 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', …$"),
        ([{}], "1: not recognised as a conversation: an object with no keys$"),
    ],
    ids=["text", "no object", "behind a broken line", "many keys", "none"],
)
def test_what_is_not_recognised_says_where_and_what_was_found(
    tmp_path: Path, lines: list[bytes | dict[str, Any]], why: str
) -> None:
    with pytest.raises(UnsupportedFormatError, match=why) as caught:
        next(read_conversations(written(tmp_path, lines)))
    assert str(caught.value).startswith(f"{tmp_path / 'talk.jsonl'}:")


def test_a_database_that_is_not_recognised_says_its_tables(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute("CREATE TABLE songs (title)")
    with pytest.raises(UnsupportedFormatError, match=r"a SQLite database with the tables 'songs'$"):
        next(read_conversations(tmp_path / "a.db"))


def test_a_format_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormatError, match="'yaml'") as caught:
        next(read_conversations(written(tmp_path, [CHAT]), format="yaml"))
    assert caught.value.hint == f"the formats are {', '.join([*FORMATS, *DATABASES])}"


def test_bad_lines_are_reported_and_stop_nothing(tmp_path: Path) -> None:
    """Guarantee 2, from a broken first line to a torn last one."""
    path = written(tmp_path, [b'{"mess', CHAT, b"", b"  \t\r", b'{"messages":[NaN]}', b"[]", {"messages": [1]}, CHAT])
    path.write_bytes(path.read_bytes() + b'{"messages":[{"role":')
    found = list(read_conversations(path))
    assert [(item.line, isinstance(item, Defect)) for item in found] == [
        (1, True),
        (2, False),
        (5, True),
        (6, True),
        (7, True),
        (8, False),
        (9, True),
    ]
    assert {item.file for item in found} == {str(path)}
    reasons = [item.reason for item in found if isinstance(item, Defect)]
    assert reasons[1:4] == ["NaN is not JSON", "not a JSON object but list", "messages[0] is not an object but int"]
    assert str(found[3]) == f"{path}:6: not a JSON object but list"


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_file_of_no_lines_has_no_conversations(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty"
    path.write_bytes(content)
    assert outcome(path) == outcome(path, format="openai-chat") == []


_TALK, _PRETTY = json.dumps(CHAT), json.dumps(CHAT, indent=2)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"\n \n[{_TALK}, {_TALK}]", 2),
        (f"\n\n{_PRETTY}", 1),
        (f"{_PRETTY}\n{_PRETTY}\n", 2),
        (f"{_PRETTY}{_PRETTY}", 2),
        (_PRETTY.replace('{\n  "messages"', '{ "messages"', 1), 1),
        (f"{_TALK}\r{_TALK}\r", 2),
        (f"\ufeff\n{_PRETTY}".replace("\n", "\r\n"), 1),
    ],
    ids=["array", "blank", "several", "no space", "first line", "carriage returns", "windows"],
)
def test_objects_are_found_however_they_are_laid_out(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "talk").write_bytes(text.encode())
    assert outcome(tmp_path / "talk") == list(range(1, count + 1))


@pytest.mark.parametrize("torn", ["[", "{", ","])
def test_a_torn_first_line_costs_itself_however_it_ends(tmp_path: Path, torn: str) -> None:
    found = list(read_conversations(written(tmp_path, [b'{"messages": ' + torn.encode(), CHAT, CHAT])))
    assert [isinstance(item, Defect) for item in found] == [True, False, False]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ('{"messages":', "the file ends inside an object"),
        ("}", "a bracket closes that nothing opened"),
        ('{"', "the file ends inside a string"),
    ],
)
def test_what_stands_behind_whole_objects_is_told(tmp_path: Path, end: str, reason: str) -> None:
    (tmp_path / "talk").write_text(_PRETTY + end)
    assert outcome(tmp_path / "talk") == [1, (2, reason)]


def test_a_file_that_goes_away_meanwhile_stops_no_other(tmp_path: Path) -> None:
    """A format of long lines reads a file a second time."""
    line = {"type": "user", "uuid": "u", "parentUuid": None, "sessionId": "s", "message": {"content": "hi"}}
    first = written(tmp_path, [line], "a.jsonl")
    written(tmp_path, [CHAT], "b.jsonl")
    found = list(read_conversations(tmp_path, progress=lambda _: first.unlink(missing_ok=True)))
    assert [(Path(item.file).name, isinstance(item, Defect)) for item in found] == [
        ("a.jsonl", True),
        ("b.jsonl", False),
    ]


def test_byte_order_mark_windows_lines_and_no_newline_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(CHAT).encode() + b"\r\n" + json.dumps(CHAT).encode())
    assert outcome(path) == [1, 2]


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    message = {"role": "user", "content": "\u2028\x85\x0b\x0c"}
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"messages": [message]}, ensure_ascii=False), encoding="utf-8")
    [found] = read_conversations(path)
    assert isinstance(found, Conversation)
    assert found.nodes[0].messages() == [message]


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(read_conversations(tmp_path / "nothing"))


def test_progress_counts_every_byte_as_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, [CHAT, b"", b"broken", CHAT])
    heard: list[int] = []
    behind = [heard[-1] for _ in read_conversations(path, progress=heard.append)]
    assert heard == sorted(set(heard))
    assert heard[-1] == path.stat().st_size
    assert behind[0] < path.stat().st_size  # not only when all is read


def test_progress_in_an_archive_ends_at_the_sum_of_its_sizes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.jsonl", "b.jsonl"):
            archive.writestr(name, json.dumps(CHAT) + "\n" + " " * 1000 + "\n")
    heard: list[int] = []
    list(read_conversations(tmp_path / "x.zip", progress=heard.append))
    assert heard[-1] == sum(source.size for source in sources(tmp_path / "x.zip"))


def test_an_overlong_line_is_a_defect_and_the_next_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINE", 200)
    long = {"messages": [{"role": "user", "content": "x" * 1000}]}
    path = written(tmp_path, [CHAT, long, CHAT, long])
    heard: list[int] = []
    assert outcome(path, progress=heard.append) == [1, (2, "longer than 200 bytes"), 3, (4, "longer than 200 bytes")]
    assert heard[-1] == path.stat().st_size


@pytest.mark.parametrize("spare", [0, 1])
def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int) -> None:
    path = written(tmp_path, [CHAT, CHAT])
    monkeypatch.setattr(records, "MAX_LINE", path.stat().st_size // 2 + spare)
    assert outcome(path) == [1, 2]


def test_memory_holds_a_line_and_not_the_file(tmp_path: Path) -> None:
    """Guarantee 1."""
    path = written(tmp_path, ({"messages": [{"role": "user", "content": f"{n}" + "x" * 50_000}]} for n in range(400)))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_conversations(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 400
    assert peak < path.stat().st_size / 20
