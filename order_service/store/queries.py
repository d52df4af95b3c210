"""Finds the named queries: one file each in ``sql/``, opening with a sentence that says what it is for.

A placeholder is written ``:name``; the driver gets ``$1, $2 ...`` and the arguments in that order.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sql"
_PLACEHOLDER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")
_COMMENT = re.compile(r"--[^\n]*")


class Query:
    """A named query: ``sql`` as the driver wants it, ``names`` of the placeholders in their order."""

    def __init__(self, name: str, written: str) -> None:
        self.name = name
        self.point = f"sql.{name}"
        self.names: list[str] = []
        self.sql = _PLACEHOLDER.sub(self._number, _COMMENT.sub("", written)).strip()

    def _number(self, found: re.Match[str]) -> str:
        name = found[1]
        if name not in self.names:
            self.names.append(name)
        return f"${self.names.index(name) + 1}"

    def args(self, **values: Any) -> list[Any]:
        """The arguments in the driver's order; a missing or an unknown name is a ``TypeError``."""
        if values.keys() != set(self.names):
            wrong = sorted(values.keys() ^ set(self.names))
            raise TypeError(f"query {self.name}: arguments that do not fit: {', '.join(wrong)}")
        return [values[name] for name in self.names]


@cache
def query(name: str) -> Query:
    """The query in ``sql/<name>.sql``."""
    return Query(name, (FOLDER / f"{name}.sql").read_text("utf-8"))
