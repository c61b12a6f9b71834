"""Branches as plain text for people: a list and a tree. Pure; the command line draws its own, in colour.

Whatever a name holds, a branch is one line: line breaks and control characters are shown as escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bough.branch import BranchTree, ConversationBranch


def format_branches(branches: Iterable[ConversationBranch], current: str) -> str:
    """One line a branch, ``*`` before the current one."""
    return "\n".join(f"{'*' if branch.id == current else ' '} {_describe(branch)}" for branch in branches)


def format_branch_tree(trees: Sequence[BranchTree], current: str) -> str:
    """The trees with their lines drawn, ``*`` behind the current branch. Not recursive, as trees may be deep."""
    lines: list[str] = []
    pending = [(tree, "", "") for tree in reversed(trees)]
    while pending:
        tree, first, rest = pending.pop()
        lines.append(first + _describe(tree.branch) + (" *" if tree.branch.id == current else ""))
        for child in reversed(tree.children):
            last = child is tree.children[-1]
            pending.append((child, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   ")))
    return "\n".join(lines)


def _describe(branch: ConversationBranch) -> str:
    count = len(branch.messages)
    text = f"{_one_line(branch.id)} “{_one_line(branch.name)}”, {count} message{'' if count == 1 else 's'}"
    if branch.parent_id is None:
        return text
    at = "" if branch.parent_message_index is None else f" at {branch.parent_message_index}"
    return f"{text}, from {_one_line(branch.parent_id)}{at}"


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
