"""The checker, checked: a healthy system verifies clean, and every corruption is found under its right name."""

from __future__ import annotations

import asyncio
import copy as copies
from collections import Counter
from datetime import UTC, datetime

import asyncpg
import pytest

from order_service.embedded import Postgres
from order_service.verify.catalogue import INVARIANTS
from order_service.verify.run import Limits
from tests.verify.base import Base, GivenLedger, GivenTopic, given, query, verify, violated
from tests.verify.corpus_books import CALLS, HISTORY, KEYS
from tests.verify.corpus_partners import MONEY, STOCK, TOPIC
from tests.verify.spoil import Spoilt, change, drop, lose, repeat, spoil

CORPUS = [*MONEY, *STOCK, *TOPIC, *HISTORY, *KEYS, *CALLS]
_ELSEWHERE = "L4 nobody-blocks-the-log"
"""Spoilt by whoever is connected, not by what is stored: has tests of its own."""


def test_a_healthy_system_verifies_clean_by_the_command(base: Base) -> None:
    told = {i["invariant"]: i for i in base.said.get("invariants", ())}
    assert base.code == 0, base.said
    assert list(told) == [i.name for i in INVARIANTS]
    assert {i["result"] for i in told.values()} == {"holds"}
    assert all(i["rows"] > 0 for name, i in told.items() if name != _ELSEWHERE)
    assert {i["inFlight"]["count"] for i in told.values()} == {0}


def test_orders_that_wait_for_a_person_are_listed_as_parked(base: Base) -> None:
    told = {i["invariant"]: i for i in base.said["invariants"]}
    parked = {p["orderId"] for p in told["L1 attention-is-told"]["parked"]["examples"]}
    waiting = {order_id for end, order_id in base.orders.items() if end.startswith(("refund failed", "charge parked"))}
    assert parked == waiting


def test_the_system_that_the_others_spoil_is_clean_itself(base: Base) -> None:
    tallies = verify(base.database, given(base.ledger, base.records))
    assert violated(tallies) == set()
    assert all(t.looked and not t.in_flight for t in tallies.values())


def test_every_invariant_is_spoilt_in_two_ways_at_least() -> None:
    ways = Counter(name for spoilt in CORPUS for name in spoilt.broken)
    assert {i.name for i in INVARIANTS} - ways.keys() == {_ELSEWHERE}
    assert [name for name, count in ways.items() if count < 2] == []
    assert len(CORPUS) >= 60


@pytest.mark.parametrize("spoilt", [s for s in CORPUS if not s.sql], ids=lambda s: s.what)
def test_a_spoilt_ledger_or_topic_is_found_under_its_right_name(base: Base, spoilt: Spoilt) -> None:
    assert violated(verify(base.database, _spoilt_sources(base, spoilt), limits=spoilt.limits)) == spoilt.broken


@pytest.mark.parametrize("spoilt", [s for s in CORPUS if s.sql], ids=lambda s: s.what)
def test_a_spoilt_database_is_found_under_its_right_name(base: Base, copy: str, spoilt: Spoilt) -> None:
    spoil(copy, base.orders, spoilt)
    assert violated(verify(copy, _spoilt_sources(base, spoilt), limits=spoilt.limits)) == spoilt.broken


def _spoilt_sources(base: Base, spoilt: Spoilt):  # type: ignore[no-untyped-def]
    ledger, records = copies.deepcopy(base.ledger), copies.deepcopy(base.records)
    if spoilt.ledger is not None:
        spoilt.ledger(ledger, base.orders)
    if spoilt.topic is not None:
        spoilt.topic(records, base.orders)
    return given(ledger, records)


def test_a_record_that_comes_again_as_it_was_is_no_violation(base: Base) -> None:
    same = Spoilt("", "", topic=repeat("confirmed 0", 0))
    assert violated(verify(base.database, _spoilt_sources(base, same))) == set()


@pytest.mark.parametrize("where", ["this database", "another database"])
def test_a_transaction_that_writes_for_long_is_named(base: Base, copy: str, postgres: Postgres, where: str) -> None:
    dsn = copy if where == "this database" else postgres.dsn("postgres")

    async def write() -> set[str]:
        connection = await asyncpg.connect(dsn, server_settings={"application_name": "a forgotten session"})
        try:
            async with connection.transaction():
                await connection.execute("select pg_current_xact_id()")
                sources = given(base.ledger, base.records)
                tallies = await asyncio.to_thread(verify, copy, sources, limits=Limits(blocked_s=0))
                assert "a forgotten session" in str(tallies[_ELSEWHERE].examples)
                return violated(tallies)
        finally:
            await connection.close()

    assert asyncio.run(write()) == {_ELSEWHERE}


def test_a_late_capture_that_is_still_to_be_checked_is_in_flight(base: Base) -> None:
    ledger = copies.deepcopy(base.ledger)
    declined = next(e for e in ledger if e["kind"] == "decline" and e["orderId"] == base.orders["declined 0"])
    ledger.append(declined | {"kind": "charge", "seq": ledger[-1]["seq"] + 1})
    tallies = verify(base.database, given(ledger, base.records))
    assert violated(tallies) == set()
    assert list(tallies["M1 captures-match"].in_flight) == [base.orders["declined 0"]]


def test_what_a_failed_refund_leaves_behind_is_parked_and_no_violation(base: Base) -> None:
    tallies = verify(base.database, given(base.ledger, base.records))
    failed = {order_id for end, order_id in base.orders.items() if end.startswith("refund failed")}
    assert set(tallies["M4 dead-orders-net-zero"].parked) == failed
    assert set(tallies["M4 dead-orders-owe-nothing"].parked) == failed


def test_two_corruptions_at_once_are_both_told(base: Base) -> None:
    def work(ledger, ids):  # type: ignore[no-untyped-def]
        drop("charge", "confirmed 0")(ledger, ids)
        change("refund", "partly refunded 0", amount=-1)(ledger, ids)

    two = Spoilt("", "M3 no-phantom-payments, M1 refunds-match", ledger=work)
    assert violated(verify(base.database, _spoilt_sources(base, two))) == two.broken


def test_the_events_of_a_parked_stream_are_parked_and_not_lost(base: Base, copy: str) -> None:
    park = """insert into parked_streams (reader, order_id, version, error)
values ('relay', '{pending}', 2, 'too large')"""
    spoilt = Spoilt("", "", sql=park, topic=lose("pending 0", 0))
    spoil(copy, base.orders, spoilt)
    tallies = verify(copy, _spoilt_sources(base, spoilt))
    assert violated(tallies) == set()
    assert list(tallies["E1 events-not-lost"].parked) == [base.orders["pending 0"]]


def test_a_topic_that_forgets_is_not_asked_for_what_it_forgot(base: Base) -> None:
    records = copies.deepcopy(base.records)
    for _ in range(2):
        lose("confirmed 0", 0)(records, base.orders)
    sources = given(base.ledger, records)
    sources.topic = GivenTopic(records, since=datetime.now(UTC))
    assert violated(verify(base.database, sources)) == set()
    assert violated(verify(base.database, given(base.ledger, records))) == {
        "E1 events-not-lost",
        "E2 events-in-sequence",
    }


def test_a_report_of_an_earlier_time_leaves_what_came_later_in_flight(base: Base) -> None:
    [row] = query(base.database, "select updated_at from orders where id = $1::uuid", base.orders["confirmed 1"])
    ledger = [e for e in base.ledger if e.get("orderId") != base.orders["confirmed 1"]]
    sources = given(ledger, base.records)
    assert isinstance(sources.payments, GivenLedger)
    sources.payments.as_of = row["updated_at"]
    tallies = verify(base.database, sources)
    assert base.orders["confirmed 1"] in tallies["M3 no-phantom-payments"].in_flight
    assert violated(tallies) == set()
