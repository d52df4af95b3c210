"""Finds the named queries: one file each in ``sql/``, opening with a sentence that says what it is for.

A placeholder is written ``:name``; the driver gets ``$1, $2 ...`` and the arguments in that order. Lines between
``--? part`` and ``--.`` may be left out, and lines behind ``--:`` within them stand there instead.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "sql"
_PLACEHOLDER = re.compile(r"(?<!:):([a-z_][a-z0-9_]*)")
_PART = re.compile(r"^--\? (\w+)\n(.*?)(?:^--:\n(.*?))?^--\.\n", re.MULTILINE | re.DOTALL)
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
def _written(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text("utf-8")


def parts_of(name: str) -> set[str]:
    """The parts that may be left out of the query."""
    return {found[1] for found in _PART.finditer(_written(name))}


@cache
def query(name: str, parts: frozenset[str] | None = None) -> Query:
    """The query in ``sql/<name>.sql``, whole or with these of its parts only."""

    def chosen(found: re.Match[str]) -> str:
        return found[2] if parts is None or found[1] in parts else found[3] or ""

    return Query(name, _PART.sub(chosen, _written(name)))
