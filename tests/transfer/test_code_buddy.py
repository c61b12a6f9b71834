"""Code Buddy's folders of branches, in that program's layout and in Bough's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, expected, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mangle_kit import mangled

from bough import ConversationBranchManager
from bough.transfer import Conversation, Defect, paths, read_conversations

TRIP = GOLDEN / "code-buddy" / "trip"


def test_golden() -> None:
    assert tree_of(TRIP) == expected("code-buddy")


def read(path: Path, **options: Any) -> tuple[list[Conversation], list[Defect]]:
    found = list(read_conversations(path, **options))
    return [x for x in found if isinstance(x, Conversation)], [x for x in found if isinstance(x, Defect)]


def document(id_: str, *texts: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text} for text in texts]
    return {"id": id_, "name": id_, "messages": messages, "createdAt": "2026-01-01T00:00:00.000Z", **more}


def folder(path: Path, *documents: dict[str, Any]) -> Path:
    path.mkdir(parents=True)
    for number, one in enumerate(documents):
        (path / f"{number}.json").write_text(json.dumps(one, indent=2), encoding="utf-8")
    return path


def shape(talk: Conversation) -> list[tuple[str, str | None, int, int]]:
    return [(line.branch_id, line.parent_id, line.shared, len(line.nodes)) for line in paths(talk)]


def test_each_folder_is_a_conversation_and_other_files_are_read_as_ever(tmp_path: Path) -> None:
    folder(tmp_path / "one", document("main", "a"), document("idea", "a", "b", parentId="main", parentMessageIndex=1))
    folder(tmp_path / "two", document("main", "z"))
    (tmp_path / "two" / "chat.jsonl").write_text('{"messages": [{"role": "user", "content": "x"}]}\n')
    talks, defects = read(tmp_path)
    assert {talk.session_id for talk in talks} >= {"code-buddy-one", "code-buddy-two"}
    assert len(talks) == 3
    assert defects == []
    one = next(talk for talk in talks if talk.session_id == "code-buddy-one")
    assert [
        (line.branch_id, [x["content"] for node in line.nodes for x in node.messages()]) for line in paths(one)
    ] == [
        ("main", ["a"]),
        ("idea", ["b"]),
    ]


@pytest.mark.parametrize(
    ("limit", "texts", "shared"), [(2, "abx", 2), (1, "abx", 1), (9, "abx", 2), (None, "aby", 2), (3, "xbc", 0)]
)
def test_what_is_shared_is_the_longest_equal_prefix_up_to_the_fork(
    tmp_path: Path, limit: int | None, texts: str, shared: int
) -> None:
    child = document("idea", *texts, parentId="main", parentMessageIndex=limit)
    [talk], _ = read(folder(tmp_path / "s", document("main", *"abc"), child))
    assert shape(talk) == [("main", None, 0, 3), ("idea", "main" if shared else None, shared, 3 - shared)]


def test_a_file_alone_is_its_branch_alone(tmp_path: Path) -> None:
    path = folder(tmp_path / "s", document("main", "a"), document("idea", "a", "b", parentId="main"))
    for options in ({}, {"format": "code-buddy"}):
        [talk], [defect] = read(path / "1.json", **options)
        assert (talk.session_id, shape(talk)) == ("code-buddy-s", [("main", None, 0, 2)])
        assert defect.reason == "branch 'idea' begins anew: its parent 'main' is missing"


def test_a_document_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    folder(tmp_path / "s", document("main", "a"))
    (tmp_path / "s" / "b.json").mkdir()
    [talk], defects = read(tmp_path)
    assert len(talk.nodes) == 1
    assert [defect.file for defect in defects] == [str(tmp_path / "s" / "b.json")]


def test_parents_that_go_round(tmp_path: Path) -> None:
    [talk], defects = read(folder(tmp_path / "s", document("a", "x", parentId="b"), document("b", "y", parentId="a")))
    assert len(shape(talk)) == 2
    assert any("circle" in defect.reason for defect in defects)


def test_a_store_of_our_own_comes_in_without_its_attic(tmp_path: Path) -> None:
    manager = ConversationBranchManager("talk", store=tmp_path)
    for text in "abc":
        manager.add_message({"role": "user", "content": text})
    manager.fork_from_message("idea", 2)
    manager.add_message({"role": "user", "content": "d"})
    manager.set_messages([{"role": "user", "content": "a"}, {"role": "user", "content": "e"}])
    manager.close()
    [talk], defects = read(tmp_path)
    assert (talk.session_id, defects) == ("code-buddy-talk", [])
    assert [line[0] for line in shape(talk)] == ["main", "idea"]


@pytest.mark.parametrize("step", [5, pytest.param(1, id="exhaustive", marks=pytest.mark.torture)])
def test_a_torn_document_gives_what_stands_whole(tmp_path: Path, step: int) -> None:
    shutil.copytree(TRIP, tmp_path / "trip")
    path = tmp_path / "trip" / "ours.json"
    data = path.read_bytes()
    lines = data.split(b"\n")[1:-1]
    ends = [data.index(line) + len(line.removesuffix(b",")) for line in lines]
    for cut in range(data.index(b"[\n") + 1, len(data), step):
        path.write_bytes(data[:cut])
        [talk], defects = read(path)
        whole = sum(end <= cut for end in ends)
        assert any(f"torn, {whole} messages stand" in one.reason for one in defects)
        assert sum(len(node.messages()) for node in talk.nodes) == whole


@settings(max_examples=80)
@given(data=st.data())
def test_whatever_stands_in_documents_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = [json.loads((TRIP / f"{name}.json").read_text()) for name in ("main", "by-train", "fresh", "orphan")]
    documents = data.draw(mangled(base, ["main", "by-train", "fresh", "orphan"]))
    path = tmp_path_factory.mktemp("fuzz") / "s"
    path.mkdir()
    (path / "main.json").write_text(json.dumps(document("keep", "kept")))
    for number, one in enumerate(documents):
        (path / f"z{number}.json").write_text(json.dumps(one, indent=2))
    talks, defects = read(path)
    said = json.dumps([node.messages() for talk in talks for node in talk.nodes])
    told = "\n".join(f"{one.file}: {one.reason}" for one in defects)
    for number, one in enumerate(documents):
        good = isinstance(one, dict) and isinstance(one.get("messages"), list)
        for message in one["messages"] if good else ():
            assert f"z{number}.json" in told or not isinstance(message, dict) or json.dumps(message) in said


@given(share=st.floats(0, 1))
def test_a_document_that_ends_early(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.mktemp("torn") / "s"
    shutil.copytree(TRIP, path)
    for name in ("main", "ours"):
        data = (path / f"{name}.json").read_bytes()
        (path / f"{name}.json").write_bytes(data[: int(len(data) * share)])
    talks, _ = read(path)
    assert len(talks) == 1
