"""Where conversations lie: files, archives, compressed files, folders. Numbers cite ``bough.transfer.sources``."""

from __future__ import annotations

import gzip
import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from bough.errors import UnsupportedFormatError
from bough.transfer import Conversation, Defect, read_conversations
from bough.transfer.sources import HEAD, sources

CHAT = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode() + b"\n"
OTHER = json.dumps({"messages": [{"role": "user", "content": "other"}]}).encode() + b"\n"


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def read(path: Path) -> list[tuple[str, bytes]]:
    """(the name below ``path``, what it holds) of each source."""
    found = []
    for source in sources(path):
        with source.open() as file:
            found.append((source.name.removeprefix(str(path)), file.read()))
        with source.open() as file:  # 2: from its beginning, as often as one likes
            assert file.read() == found[-1][1]
        assert source.head() == found[-1][1][:HEAD]
        assert (source.path is None) or source.path.read_bytes() == found[-1][1]
    return found


def test_a_file_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "talk").write_bytes(CHAT)
    assert read(tmp_path / "talk") == [("", CHAT)]


def test_a_folder_is_read_in_the_order_of_names_and_only_what_may_hold_conversations(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/z.json", "a/b/c.ndjson", "c.txt", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(name.encode())
    assert [name for name, _ in read(tmp_path)] == ["/b.jsonl", "/a/z.json", "/a/b/c.ndjson"]


def test_an_empty_folder_has_no_sources(tmp_path: Path) -> None:
    assert read(tmp_path) == []


def test_the_members_of_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "export.bin", **{"b.json": OTHER, "a/a.jsonl": CHAT, "picture.png": b"png", "d/": b""})
    assert read(path) == [(":a/a.jsonl", CHAT), (":b.json", OTHER)]
    found = list(read_conversations(path))
    assert [type(item) for item in found] == [Conversation, Conversation]
    assert [item.file.removeprefix(str(path)) for item in found] == [":a/a.jsonl", ":b.json"]


def test_an_archive_in_a_folder(tmp_path: Path) -> None:
    archive(tmp_path / "x.zip", **{"a.json": CHAT})
    (tmp_path / "y.json").write_bytes(OTHER)
    assert read(tmp_path) == [("/x.zip:a.json", CHAT), ("/y.json", OTHER)]


def test_a_compressed_file(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "rollout.jsonl.zst"
    path.write_bytes(zstandard.compress(CHAT))
    assert read(path) == [("", CHAT)]
    assert [type(item) for item in read_conversations(path)] == [Conversation]


def test_a_file_of_gzip_is_read_and_a_torn_one_told(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl.gz"
    path.write_bytes(gzip.compress(CHAT))
    assert read(tmp_path) == [("/talk.jsonl.gz", CHAT)]
    path.write_bytes(gzip.compress(CHAT) + gzip.compress(OTHER)[:-9])
    assert [type(item) for item in read_conversations(path)][-1:] == [Defect]


def test_an_archive_that_is_not_looked_into_is_told(tmp_path: Path) -> None:
    """3, in an archive and in a folder."""
    inner = archive(tmp_path / "inner", **{"a.json": CHAT}).read_bytes()
    archive(tmp_path / "x.zip", **{"inner.ZIP": inner, "talk.json.gz": gzip.compress(CHAT), "y.json": OTHER})
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "inner", "inner")
    (tmp_path / "z.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    found = list(read_conversations(tmp_path))
    told = [item.reason.removeprefix(f"{tmp_path}/") for item in found if isinstance(item, Defect)]
    assert told == [
        "all.tar.gz is not looked into: it is a tar archive",
        "x.zip:inner.ZIP is not looked into: it is a zip archive",
        "x.zip:talk.json.gz is not looked into: it is compressed with gzip",
        "z.7z is not looked into: it is a 7z archive",
    ]
    assert len(found) == len(told) + 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_text_in_another_encoding_is_called_so(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith("be") else ""
    (tmp_path / "chat.jsonl").write_bytes((mark + CHAT.decode()).encode(encoding))
    with pytest.raises(UnsupportedFormatError, match=f"chat.jsonl is {encoding[:6].upper()}, not UTF-8") as caught:
        list(read_conversations(tmp_path / "chat.jsonl", format="openai-chat"))
    assert caught.value.hint == "save it as UTF-8"


def test_a_path_may_have_another_name(tmp_path: Path) -> None:
    archive(tmp_path / "x.zip", **{"a.json": CHAT, "b.json": b"{"})
    assert [item.file for item in read_conversations(tmp_path / "x.zip", name="<stdin>")] == [
        "<stdin>:a.json",
        "<stdin>:b.json",
    ]


def test_nothing_is_written(tmp_path: Path) -> None:
    """1, by what the folder looks like afterwards."""
    archive(tmp_path / "x.zip", **{"a.json": CHAT})
    (tmp_path / "y.json").write_bytes(OTHER)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*")}
    list(read_conversations(tmp_path))
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*")} == before


def test_a_broken_archive_is_refused_and_in_a_folder_stops_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UnsupportedFormatError):
        list(read_conversations(tmp_path / "a.zip"))
    (tmp_path / "b.json").write_bytes(CHAT)
    bad, good = read_conversations(tmp_path)
    assert isinstance(bad, Defect)
    assert bad.file == str(tmp_path / "a.zip")
    assert isinstance(good, Conversation)


def test_a_damaged_member_is_told_and_the_next_one_is_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", **{"a.json": CHAT * 50, "b.json": OTHER})
    data = bytearray(path.read_bytes())
    at = data.index(b"a.json") + len("a.json")
    data[at : at + 8] = os.urandom(8)
    path.write_bytes(data)
    found = list(read_conversations(path))
    assert isinstance(found[0], Defect)
    assert isinstance(found[-1], Conversation)


def test_a_torn_compressed_file_is_told(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    text = b"".join(CHAT.replace(b"hi", os.urandom(20).hex().encode()) for _ in range(9))
    packed = zstandard.compress(text)
    path = tmp_path / "rollout.jsonl.zst"
    path.write_bytes(packed[: len(packed) // 2])
    assert any(isinstance(item, Defect) for item in read_conversations(path))
    path.write_bytes(packed[:40] + b"\xff" * 40 + packed[80:])
    assert any(isinstance(item, Defect) for item in read_conversations(path))
    path.write_bytes(packed + zstandard.compress(CHAT))  # two frames, as of a file that was added to
    assert [type(item) for item in read_conversations(path)] == [Conversation] * 10


def test_an_unreadable_file_in_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b.json").write_bytes(CHAT)
    found = list(read_conversations(tmp_path))
    assert [type(item) for item in found] == [Defect, Conversation]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")
def test_what_may_never_end_is_told_and_not_waited_for(tmp_path: Path) -> None:
    """3, also where the files of a folder are looked at together."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "talk.json").write_bytes(CHAT)
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    found = list(read_conversations(tmp_path))
    assert [getattr(item, "reason", "") for item in found] == [
        f"{tmp_path / 'pipe.json'} is no regular file",
        "",
        f"{tmp_path / 'zero.json'} is no regular file",
    ]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """3: its path is longer than the system takes."""
    (tmp_path / "z.json").write_bytes(CHAT)
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=at)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    good, bad = read_conversations(tmp_path)
    assert isinstance(good, Conversation)
    assert isinstance(bad, Defect)
    assert bad.file.startswith(f"{tmp_path}/ddd")


@pytest.mark.parametrize("end", [b"junk", gzip.compress(b"\n" + OTHER * 50)[:-20]], ids=["junk", "torn"])
@pytest.mark.parametrize("kind", ["lines", "last line", "array", "one conversation"])
def test_what_stands_before_the_damage_comes_in(tmp_path: Path, end: bytes, kind: str) -> None:
    line = {"type": "user", "uuid": "u", "parentUuid": None, "sessionId": "s", "message": {"content": "hi"}}
    session = json.dumps(line).encode() + b"\n"
    whole = {"lines": CHAT, "last line": CHAT.strip(), "array": b"[%b]" % CHAT, "one conversation": session}[kind]
    path = tmp_path / "talk.jsonl.gz"
    path.write_bytes(gzip.compress(whole) + end)
    found = list(read_conversations(path))
    assert [item.nodes[0].messages()[0]["content"] for item in found if isinstance(item, Conversation)][:1] == ["hi"]
    assert any(isinstance(item, Defect) and "is damaged" in item.reason for item in found)
