"""SQLAlchemy engines of the systems that take one, set to one durability."""

from __future__ import annotations

import importlib
from typing import Any

from systems import Durability

sqlalchemy = importlib.import_module("sqlalchemy")


def set_pragmas(engine: Any, durability: Durability) -> None:
    """WAL, and FULL or NORMAL, on every connection the engine opens from now on."""

    def connected(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={'FULL' if durability == 'full' else 'NORMAL'}")
        cursor.close()

    sqlalchemy.event.listen(engine, "connect", connected)
