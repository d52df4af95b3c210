"""The named queries: each can be prepared on the real schema, is used, and says what it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import order_service
from order_service.store.queries import FOLDER, Query, query
from tests.prepare_queries import faults

NAMES = sorted(path.stem for path in FOLDER.glob("*.sql"))


async def test_the_server_knows_every_table_column_and_type_that_the_queries_name(database: str) -> None:
    assert await faults(database) == []


def test_every_query_is_used_and_every_used_query_is_there() -> None:
    package = Path(order_service.__file__).parent
    on = r"(?:self\._pool|pool|connection),\s*"
    asked = re.compile(rf'\b(?:(?:fetch|fetchrow|fetchval|execute)\(\s*{on}|query\()"(\w+)"')
    used = {name for path in package.rglob("*.py") for name in asked.findall(path.read_text("utf-8"))}
    assert used == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_query_opens_with_a_sentence(name: str) -> None:
    first = (FOLDER / f"{name}.sql").read_text("utf-8").splitlines()[0]
    assert re.fullmatch(r"-- [A-Z].+", first)


def test_placeholders_are_numbered_in_order_and_casts_are_left_alone() -> None:
    found = Query("q", "-- With :nobody here.\nselect :b::int, :a, :b, x::text -- :c")
    assert found.sql == "select $1::int, $2, $1, x::text"
    assert found.args(a=1, b=2) == [2, 1]


def test_arguments_that_do_not_fit_are_named() -> None:
    with pytest.raises(TypeError, match="query history: arguments that do not fit: id, order_id"):
        query("history").args(order_id="x")
