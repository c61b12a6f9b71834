"""Bough for asyncio: the manager and the session lock, awaited. Not for event loops other than asyncio's."""

from bough.aio.lock import LockInfo, SessionLock, with_session_lock
from bough.aio.manager import AsyncConversationBranchManager

__all__ = ["AsyncConversationBranchManager", "LockInfo", "SessionLock", "with_session_lock"]
