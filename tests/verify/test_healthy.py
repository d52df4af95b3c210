"""A system at which nothing is wrong."""

from __future__ import annotations

from order_service.verify.catalogue import INVARIANTS
from tests.verify.base import Base, given, verify, violated


def test_a_healthy_system_verifies_clean_by_the_command(base: Base) -> None:
    told = {i["invariant"]: i for i in base.said.get("invariants", ())}
    assert base.code == 0, base.said
    assert list(told) == [i.name for i in INVARIANTS]
    assert {i["result"] for i in told.values()} == {"holds"}
    assert all(i["rows"] > 0 for name, i in told.items() if not name.startswith("L4"))
    assert {i["inFlight"]["count"] for i in told.values()} == {0}


def test_orders_that_wait_for_a_person_are_listed_as_parked(base: Base) -> None:
    told = {i["invariant"]: i for i in base.said["invariants"]}
    parked = {p["orderId"] for p in told["L1 attention-is-told"]["parked"]["examples"]}
    waiting = {order_id for end, order_id in base.orders.items() if end.startswith(("refund failed", "charge parked"))}
    assert parked == waiting


def test_the_copy_that_the_others_spoil_is_clean_itself(base: Base, copy: str) -> None:
    tallies = verify(copy, given(base.ledger, base.records))
    assert violated(tallies) == set()
    assert all(t.looked and not t.in_flight for t in tallies.values())
