"""Tags and metadata: set, listed, filtered, each key undone by itself, and what gc makes of tags."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from manager_kit import kinds, say, texts

from bough import attributes, errors
from bough.attributes import Retention
from bough.manager import ConversationBranchManager as Manager
from bough.testing.contract import StoreFactory


@pytest.fixture
def talk(manager: Manager) -> Manager:
    """main: a b c."""
    manager.add_messages(say("a", "b", "c"))
    return manager


# -- the session -------------------------------------------------------------------------------------------------------


def test_metadata_of_the_session_is_set_by_key_and_lasts(talk: Manager, store_factory: StoreFactory) -> None:
    assert talk.session_metadata() == {}
    values = {"title": "Trip", "labels": ["x", "y"], "archived": True, "mine": {"n": 2**70, "f": 1.0}}
    assert talk.set_session_metadata(values) == values
    assert talk.set_session_metadata({"title": None, "archived": False}) == {
        "labels": ["x", "y"],
        "archived": False,
        "mine": {"n": 2**70, "f": 1.0},
    }
    with Manager("talk", store=store_factory()) as again:
        assert again.session_metadata() == talk.session_metadata()
    assert kinds(talk)[-2:] == ["describe", "describe"]


def test_what_changes_nothing_is_no_operation(talk: Manager) -> None:
    talk.set_session_metadata({"n": 1})
    talk.set_branch_metadata({"n": 1})
    before = kinds(talk)
    talk.set_session_metadata({"n": 1, "gone": None})
    talk.set_branch_metadata({"n": 1, "gone": None})
    talk.set_session_metadata({})
    assert kinds(talk) == before
    talk.set_session_metadata({"n": 1.0})  # equal to Python, another thing in JSON
    assert len(kinds(talk)) == len(before) + 1


@pytest.mark.parametrize(
    "values",
    [
        {"title": ""},
        {"title": 7},
        {"labels": "x"},
        {"labels": ["x", ""]},
        {"labels": [1]},
        {"archived": "yes"},
        {"archived": 1},
        {"tag:v1": {}},
        {"retention": 30},
        {"retention": {"weeks": 1}},
        {"retention": {"days": -1}},
        {"retention": {"days": True}},
        {"retention": {"operations": 1.5}},
        {"retention": {"days": 1e9}},
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(talk: Manager, values: dict[str, Any]) -> None:
    before = kinds(talk)
    with pytest.raises(errors.InvalidRequestError):
        talk.set_session_metadata({"fine": 1, **values})
    with pytest.raises(errors.InvalidRequestError):
        talk.set_branch_metadata({"fine": 1, **values})
    assert (talk.session_metadata(), talk.get_current_branch().metadata, kinds(talk)) == ({}, None, before)


def test_what_json_cannot_say_is_refused(talk: Manager) -> None:
    for verb in (talk.set_session_metadata, talk.set_branch_metadata):
        with pytest.raises(errors.InvalidMessageError):
            verb({"x": float("nan")})


def test_each_key_of_the_session_is_undone_by_itself(talk: Manager) -> None:
    talk.set_session_metadata({"title": "One", "n": 1})
    first = talk.store.load("talk").last_operation
    talk.set_session_metadata({"labels": ["x"]})
    talk.tag("v1")
    talk.undo(first)
    assert talk.session_metadata() == {"labels": ["x"]}
    assert list(talk.tags()) == ["v1"]
    talk.redo()
    assert talk.session_metadata() == {"labels": ["x"], "title": "One", "n": 1}
    talk.set_session_metadata({"n": 2})
    with pytest.raises(errors.InvalidRequestError, match="'n' was set again since"):
        talk.undo(first)
    talk.undo()
    talk.undo(first)
    assert talk.session_metadata() == {"labels": ["x"]}


# -- branches ----------------------------------------------------------------------------------------------------------


def test_metadata_of_branches_is_set_and_filtered_by(talk: Manager) -> None:
    talk.create_branch("one", "One")
    talk.create_branch("two", "Two")
    talk.set_branch_metadata({"labels": ["x", "y"], "title": "First"}, branch_id="one")
    assert talk.set_branch_metadata({"labels": ["x"], "archived": True}, branch_id="two").id == "two"

    def found(**wanted: Any) -> set[str]:
        return {branch.id for branch in talk.get_all_branches(**wanted)}

    assert found() == {"main", "one", "two"}
    assert found(labels=["x"]) == {"one", "two"}
    assert found(labels=["x", "y"]) == {"one"}
    assert found(archived=True) == {"two"}
    assert found(archived=False) == {"main", "one"}
    assert found(labels=["x"], archived=False) == {"one"}
    talk.undo()
    assert found(archived=True) == set()
    assert talk.set_branch_metadata({"labels": None, "title": None}, branch_id="one").metadata is None


def test_metadata_keeps_messages_and_other_keys(talk: Manager) -> None:
    talk.set_branch_metadata({"mine": [1]})
    talk.set_branch_metadata({"title": "T"})
    branch = talk.get_current_branch()
    assert (dict(branch.metadata or {}), texts(talk)) == ({"mine": [1], "title": "T"}, ["a", "b", "c"])


# -- tags --------------------------------------------------------------------------------------------------------------


def test_a_tag_stays_what_it_was(talk: Manager, store_factory: StoreFactory) -> None:
    made = talk.tag("v1", "main:2")
    assert talk.tag("v2").branch_id == "main"
    talk.edit_message(0, say("A")[0])
    talk.tag("v3")
    talk.set_messages([])
    with Manager("talk", store=store_factory()) as again:
        tags = again.tags()
        assert list(tags) == ["v1", "v2", "v3"]
        assert tags["v1"] == made
        assert [again.read_messages(tag.history) for tag in tags.values()] == [
            say("a", "b"),
            say("a", "b", "c"),
            say("A", "b", "c"),
        ]
        assert len(tags["v3"].edits) == 1
        assert again.session_metadata() == {}
    talk.reset("v3")
    assert texts(talk) == ["A", "b", "c"]


def test_a_tag_cannot_be_set_twice_or_be_called_as_something_else(talk: Manager) -> None:
    talk.create_branch("idea", "Idea")
    talk.tag("v1")
    for name in ("v1", "main", "idea", "HEAD", "@", "-", "", "x" * 513):
        with pytest.raises(errors.InvalidRequestError):
            talk.tag(name)
    with pytest.raises(errors.RevisionNotFoundError):
        talk.tag("v2", "nowhere")
    with pytest.raises(errors.RevisionNotFoundError):
        talk.untag("v2")
    assert list(talk.tags()) == ["v1"]


def test_gc_keeps_what_a_tag_holds_and_frees_it_once_that_is_gone(talk: Manager) -> None:
    talk.tag("v1")
    talk.reset(1)
    assert talk.gc(keep=timedelta()).for_tags == 2
    assert talk.read_messages(talk.tags()["v1"].history) == say("a", "b", "c")
    talk.undo()
    assert texts(talk) == ["a", "b", "c"]
    talk.redo()
    talk.untag("v1")
    assert talk.gc(keep_operations=1).messages == 0  # the untag can be undone
    assert talk.gc(keep=timedelta()).messages == 2
    with pytest.raises(errors.InvalidRequestError, match=r"\(untag\) .* gc has given up messages that tag 'v1' had"):
        talk.undo()
    assert talk.tags() == {}


def test_a_tag_comes_back_without_what_was_purged(talk: Manager) -> None:
    talk.edit_message(0, say("A")[0])
    talk.tag("v1")
    talk.untag("v1")
    talk.purge("main:1")
    talk.undo()
    assert talk.read_messages(talk.tags()["v1"].history) == say("b", "c")
    assert talk.tags()["v1"].edits == ()
    talk.redo()
    assert talk.tags() == {}
    talk.undo()
    talk.purge("main:1")
    talk.undo()  # of the tag itself, which purge has changed since
    assert talk.tags() == {}


# -- values ------------------------------------------------------------------------------------------------------------


def test_malformed_values_count_as_not_set() -> None:
    assert attributes.retention_of({"retention": "soon"}) == Retention()
    assert attributes.retention_of({"retention": {"days": 2}}) == Retention(age=timedelta(days=2))
    assert attributes.labels_of({"labels": "x"}) == []
    assert attributes.labels_of({"labels": ["x", 1]}) == ["x"]
    assert attributes.labels_of(None) == []
    assert attributes.title_of({"title": 7}) == ""
    assert not attributes.is_archived({"archived": "yes"})
    assert attributes.has_labels({"labels": "x"}, [])
    assert not attributes.has_labels({"labels": "x"}, ["x"])
    malformed = {"tag:a": {}, "tag:b": [], "tag:c": {"history": 1, "edits": [], "branch": None, "at": "x"}}
    assert (attributes.tags_of(malformed), attributes.unread_tags(malformed)) == ({}, ["a", "b", "c"])
