"""What stands in a database or in a folder comes into a store, and the same again adds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_kit import GOLDEN
from sql_kit import built

from bough import ConversationBranchManager
from bough.imports import IncomingBranch, IncomingEntry
from bough.stores.memory import MemoryStore
from bough.transfer import Conversation, paths, read_conversations


@pytest.mark.parametrize(
    "golden", ["openai-agents/sessions.sql", "langgraph/checkpoints.sql", "llm/logs.sql", "code-buddy/trip"]
)
def test_the_same_again_adds_nothing(tmp_path: Path, golden: str) -> None:
    path = built(tmp_path / "a.db", golden) if golden.endswith(".sql") else GOLDEN / golden
    store = MemoryStore()
    for again in (False, True):
        for talk in read_conversations(path):
            if not isinstance(talk, Conversation):
                continue
            branches = [
                IncomingBranch(
                    id=line.branch_id,
                    name=line.name,
                    parent_id=line.parent_id,
                    shared=line.shared,
                    entries=[IncomingEntry(node.messages) for node in line.nodes],
                )
                for line in paths(talk)
            ]
            manager = ConversationBranchManager(talk.session_id, store=store)
            result = manager.import_branches(branches)
            assert (result.messages == 0) if again else result.messages
            assert {branch.id for branch in manager.get_all_branches()} == {branch.id for branch in branches}
