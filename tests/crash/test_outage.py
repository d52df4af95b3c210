"""Database, broker or a partner away for a few seconds: clear answers meanwhile, all there afterwards, soon well."""

from __future__ import annotations

import json

import pytest

from order_service.torture.outage import Line, Scenario, as_json, chosen, run_outages, told_line

IMPATIENT = {"REQUEST_DEADLINE": "1", "PARTNER_TIMEOUT": "1.4", "LEASE": "2.2"}
"""Seconds: a part that is away for three is missed by every request."""

WANTED = ["database stopped", "database silent", "broker silent", "payment silent", "inventory refusing"]


@pytest.fixture(scope="module")
def lines() -> dict[str, Line]:
    """What came of each, by name."""
    return {line.scenario: line for line in run_outages(3.0, scenarios=chosen(WANTED), settings=IMPATIENT, clock=False)}


@pytest.mark.parametrize("name", WANTED)
def test_what_is_away_harms_nothing_and_is_forgotten_soon_after_it_is_back(lines: dict[str, Line], name: str) -> None:
    assert lines[name].faults == []


def test_while_the_database_is_away_everybody_is_turned_away_and_told_when_to_come_back(lines: dict[str, Line]) -> None:
    stopped, silent = lines["database stopped"].answers, lines["database silent"].answers
    for step in ("create", "pay", "get"):
        assert stopped.get(f"{step} 503", 0) > 0, stopped
    assert silent.get("create 503", 0) > 0, silent


def test_nobody_notices_that_the_broker_is_silent(lines: dict[str, Line]) -> None:
    told = lines["broker silent"].answers
    for step, status in (("create", 201), ("pay", 200), ("get", 200)):
        assert told.get(f"{step} {status}", 0) > told.get(f"{step} 503", 0), told


def test_orders_are_taken_while_the_payment_service_is_silent(lines: dict[str, Line]) -> None:
    told = lines["payment silent"].answers
    assert told.get("create 201", 0) > 0, told
    assert told.get("pay 202", 0) > 0, told
    assert told.get("get 200", 0) > 0, told


def test_orders_that_were_placed_are_paid_while_the_inventory_turns_everybody_away(lines: dict[str, Line]) -> None:
    told = lines["inventory refusing"].answers
    assert told.get("create 503", 0) > 0, told
    assert told.get("pay 200", 0) > 0, told


def test_a_part_is_every_way_in_which_it_goes_and_a_name_is_one_scenario() -> None:
    assert {s.name for s in chosen(["database"])} == {"database stopped", "database silent"}
    assert chosen(["cart gone"]) == (Scenario("cart gone", "cart", "gone", harmless=True),)
    assert len(chosen([])) == 13
    assert chosen(["weather"]) == ()


def test_what_did_not_hold_is_told_to_people_and_programs() -> None:
    held = Line("cart gone", 60.0, {"create 201": 3}, 0.1, 0.2, 0.3)
    broken = Line("database silent", 60.0, {"get 500": 1}, 9.0, None, None, ["get: 500 {}"])
    assert told_line(held) == (
        "held     cart gone            healthy after 0.2 s, events sent after 0.3 s, slowest 0.1 s: create 201 x 3"
    )
    assert told_line(broken).splitlines() == [
        "NOT HELD database silent      healthy never, events sent never, slowest 9.0 s: get 500 x 1",
        "  get: 500 {}",
    ]
    assert json.loads(as_json([held]))["held"] is True
    assert json.loads(as_json([held, broken]))["held"] is False
