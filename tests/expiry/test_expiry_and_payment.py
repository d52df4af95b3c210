"""Paying at the very second of expiry: confirmed, or all money back; never cancelled with the money kept."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from order_service.cli import app
from order_service.core.lifecycle import Status, may_move
from order_service.embedded import Kafka, Postgres, ports
from tests.expiry.race import Raced, race
from tests.system.harness import System

pytestmark = pytest.mark.timeout(1_800)

SETTINGS = {
    "UNPAID_TTL": "3",
    "ATTEMPT_DEADLINE": "1.5",
    "REQUEST_DEADLINE": "1",
    "PARTNER_TIMEOUT": "2",
    "LEASE": "4",
}


@pytest.fixture(scope="module")
def replicas() -> list[str]:
    """The addresses of two replicas."""
    return [f"http://127.0.0.1:{ports.free_port()}" for _ in range(2)]


@pytest.fixture(scope="module")
def system(
    postgres: Postgres,
    template_database: str,
    kafka: Kafka,
    tmp_path_factory: pytest.TempPathFactory,
    replicas: list[str],
) -> Iterator[System]:
    """Both of them, where an order that nobody pays lives three seconds."""
    name = f"test_{secrets.token_hex(6)}"
    database = postgres.create_database(name, template=template_database)
    with System(database, kafka.bootstrap, tmp_path_factory.mktemp("expiry"), **SETTINGS) as running:
        for replica in replicas:
            running.start_service(PORT=replica.rpartition(":")[2])
        running.api = replicas[0]
        yield running
    postgres.drop_database(name)


def test_a_payment_at_the_second_of_expiry_ends_confirmed_or_with_all_money_back(
    system: System, replicas: list[str], request: pytest.FixtureRequest
) -> None:
    runs = request.config.getoption("--expiry-runs")
    raced = race(system, replicas, runs, request.config.getoption("--expiry-seed"))
    assert len(raced) == runs
    system.until(lambda: not system.rows("select 1 from orders where status in ('pending', 'payment_pending') limit 1"))
    system.await_no_open_calls()

    orders = {str(row["id"]): row for row in system.rows(_ENDS)}
    books = _books(system)
    ends = Counter(_end_of(one, orders[one.order_id], books[one.order_id]) for one in raced)
    print(f"\n{runs} payments at the second of expiry: {dict(sorted(ends.items()))}")
    _both_sides_were_met(raced, orders, ends)

    for rows in _histories(system).values():
        assert [row["from_status"] for row in rows] == [None, *(row["to_status"] for row in rows[:-1])]
        assert all(
            may_move(row["from_status"] and Status(row["from_status"]), Status(row["to_status"])) for row in rows
        )
    verified = CliRunner().invoke(app, ["verify", "--settle", "30"], env=system.service_env())
    assert verified.exit_code == 0, verified.stdout


_ENDS = """
select o.id, o.status, o.stock, o.captured, o.refunded, l.snapshot::jsonb #>> '{cancellation,code}' as code,
    l.snapshot::jsonb #>> '{cancellation,at}' as cancelled_at
from orders as o join order_log as l on l.order_id = o.id and l.version = o.version
"""


def _books(system: System) -> dict[str, Counter[str]]:
    """By order, what the partners say: minor units charged and refunded, reservations made and released."""
    books: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for entry in system.ledger():
        if entry["kind"] in ("charge", "refund"):
            books[entry["orderId"]][entry["kind"]] += entry["amount"]
        if entry["kind"] == "charge":
            books[entry["orderId"]]["charges"] += 1
        if entry["kind"] in ("reserve", "release"):
            books[entry["orderId"]][entry["kind"]] += 1
    return books


def _end_of(one: Raced, order: dict[str, Any], books: Counter[str]) -> str:
    """The name of a right end; a wrong one fails here."""
    told = f"{one} {order} {books}"
    net = books["charge"] - books["refund"]
    assert (order["captured"], order["refunded"]) == (books["charge"], books["refund"]), told
    assert books["charges"] <= 1, told
    assert books["reserve"] == 1, told
    match order["status"]:
        case "confirmed":
            assert net == books["charge"] > 0, told
            assert books["release"] == 0, told
            assert one.told in ("200", "202"), told
            return "confirmed"
        case "refunded":
            assert net == 0 < books["charge"], told
            assert (order["code"], books["release"], order["stock"]) == ("requested", 1, "released"), told
            return "refunded"
        case "cancelled":
            assert books["charge"] == 0, told
            assert (books["release"], order["stock"]) == (1, "released"), told
            assert one.told == "not-payable", told
            return f"cancelled, {order['code']}"
    raise AssertionError(told)


def _both_sides_were_met(raced: list[Raced], orders: dict[str, dict[str, Any]], ends: Counter[str]) -> None:
    """Neither side wins by default: each of them overtook the other, also past the moment of expiry."""
    assert ends["confirmed"] > 0
    assert ends["cancelled, expired"] > 0
    assert ends["cancelled, requested"] > 0
    assert ends["refunded"] > 0
    paid_when_due = expired_meanwhile = 0
    for one in raced:
        order = orders[one.order_id]
        paid_when_due += one.sent_at > one.expires_at and order["status"] == "confirmed"
        if order["code"] == "expired":
            expired_at = datetime.fromisoformat(order["cancelled_at"]).timestamp()
            assert expired_at >= one.expires_at, "it ended too early"
            expired_meanwhile += one.sent_at < expired_at < one.answered_at
    print(f"paid when due already: {paid_when_due}; expired while the payment was on its way: {expired_meanwhile}")
    assert paid_when_due > 0
    assert expired_meanwhile > 0


def _histories(system: System) -> dict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in system.rows("select order_id, from_status, to_status from order_history order by order_id, version"):
        found[str(row["order_id"])].append(row)
    return found
