"""How long something is kept, as people write it: ``12h``, ``30d``, ``8w``, ``1y``."""

from __future__ import annotations

import re
from datetime import timedelta

import click

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365)}
_MOST = timedelta(days=999_999)


class DurationType(click.ParamType[timedelta]):
    """A number of hours, days, weeks or years."""

    name = "duration"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([hdwy])", value)
        if found is None:
            self.fail(f"{value!r} is no duration; 12h, 30d, 8w and 1y are", param, ctx)
        return _UNITS[found[2]] * min(float(found[1]), _MOST / _UNITS[found[2]])


DURATION = DurationType()
