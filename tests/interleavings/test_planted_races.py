"""Races that were planted: each of them must be found, or the explorer proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import pytest

from order_service.requests import Ask, Reply
from order_service.service import OrderService
from order_service.store import commit
from order_service.store.queries import Query, query
from tests.interleavings.conftest import Theatre
from tests.interleavings.explore import ALL, Report, explore

Plant = Callable[[pytest.MonkeyPatch], None]


def commit_with(lawful: str, broken: str) -> Plant:
    """The one statement with this condition in place of that."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        assert lawful in query("commit").sql

        def planted(name: str, parts: frozenset[str]) -> Query:
            statement = copy(query(name, parts))
            statement.sql = statement.sql.replace(lawful, broken)
            return statement

        monkeypatch.setattr(commit, "query", planted)

    return plant


def refused_for_what_its_twin_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is not looked at again before a refusal."""

    async def refuse(_: OrderService, __: Ask, refusal: Exception) -> Reply:
        raise refusal

    monkeypatch.setattr(OrderService, "_unless_twin", refuse)


PLANTED: dict[str, tuple[Plant, str, str]] = {
    "a commit that does not compare the version": (
        commit_with("(o.version, o.revision) <> (e.version, e.revision)", "false"),
        "pending: pay | cancel",
        "raised UniqueViolationError",
    ),
    "an answer whose token is not compared": (
        commit_with("c.token <> e.call_token or c.state <> 'open'", "c.state <> 'open'"),
        "paying: late charge | claim",
        "who had lost the call wrote all the same",
    ),
    "a key that two requests may bind": (
        commit_with("k.n is not null and b.decision_id is null", "false"),
        "absent: create | create =",
        "two orders were created",
    ),
    "a twin that is refused for what its twin did": (
        refused_for_what_its_twin_did,
        "shipped: refund rest | refund rest =",
        "one key, and two answers",
    ),
}


def explored(theatre: Theatre, pair: str) -> Report:
    """Every schedule of this pair with one preemption."""
    [case] = [case for cases in ALL.values() for case in cases if str(case) == pair]
    return theatre.run(explore(theatre.stage, [case], preemptions=1))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_race_is_found(theatre: Theatre, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plant, pair, told = PLANTED[name]
    with monkeypatch.context() as planted:
        plant(planted)
        report = explored(theatre, pair)
    assert any(told in violation for violation in report.violations)


@pytest.mark.parametrize("pair", sorted({pair for _, pair, _ in PLANTED.values()}))
def test_where_nothing_is_planted_nothing_is_found(theatre: Theatre, pair: str) -> None:
    assert explored(theatre, pair).violations == []
