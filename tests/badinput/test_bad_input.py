"""Bad input costs nothing: it is refused exactly as documented, leaves no trace, and the service stays well."""

from __future__ import annotations

from collections import Counter

import pytest

from .conftest import Run
from .sender import Sent

pytestmark = pytest.mark.timeout(1_200)
"""A run of 49,000 is allowed more than the usual time."""
MIB = 1024 * 1024
MEMORY_BOUND = 24 * MIB
"""What the second half of a run may add: an allocator's grain, far below the 50 MiB that one leaked body each makes."""


def told(run: Run, wrong: list[Sent]) -> str:
    kinds = Counter(sent.wrong for sent in wrong).most_common(10)
    return "\n".join(
        [f"{len(wrong)} of {run.count} went wrong: {kinds}", *(sent.told(run.seed) for sent in wrong[:20])]
    )


def test_every_spoiled_request_is_refused_exactly_as_its_fault_deserves(run: Run) -> None:
    wrong = [sent for sent in run.refused if sent.wrong]
    assert not wrong, told(run, wrong)
    assert len(run.refused) == run.count


def test_every_sound_request_between_them_succeeds(run: Run) -> None:
    wrong = [sent for sent in run.sound if sent.wrong]
    assert not wrong, told(run, wrong)
    assert len(run.sound) == -(-run.count // 20)


def test_no_table_partner_or_topic_knows_any_order_but_those_of_sound_requests(run: Run) -> None:
    assert run.before.orders() >= {*run.targets, run.pattern} - {run.targets.call, run.targets.call_too}
    assert run.after.orders() == run.before.orders() | run.placed()
    assert run.after.nobodys() == run.before.nobodys()


def test_the_orders_that_spoiled_requests_aimed_at_are_byte_for_byte_as_before(run: Run) -> None:
    for order in run.before.orders():
        assert run.after.of(order) == run.before.of(order)


def test_every_order_of_a_sound_request_has_its_rows_calls_and_events_and_no_more(run: Run) -> None:
    pattern = run.before.shape(run.pattern)
    assert pattern["effects"] == ["clear_cart", "reserve"]
    assert pattern["events"] == ["order.created"]
    assert pattern["rows"]["orders"] == 1
    keys = 0
    for order in run.placed():
        found = run.after.shape(order)
        keys += found["rows"].pop("idempotency_keys", 0)
        assert found == pattern
    assert keys == sum(b"Idempotency-Key" in sent.case.data for sent in run.sound if sent.answer.status == 201)


def test_neither_an_answer_nor_the_log_tells_of_a_fault_of_ours(run: Run) -> None:
    assert not [sent for sent in (*run.refused, *run.sound) if sent.answer.status >= 500]
    assert not [line for line in run.log if line.get("level") in ("error", "critical") or "exc_info" in line]
    assert not [line for line in run.log if line["event"] == "request" and line["status"] >= 500]
    assert sum(line["event"] in ("request", "connection refused") for line in run.log) > run.count


def test_memory_stays_flat(run: Run) -> None:
    first, second = run.rss
    assert second - first < MEMORY_BOUND, f"{first / MIB:.1f} MiB, then {second / MIB:.1f} MiB"


def test_the_same_requests_without_their_fault_have_an_effect(run: Run) -> None:
    expected = {"place": 201, "status": 200, "pay": 200, "cancel": 200, "refund": 201, "retry": 202, "give-up": 200}
    assert run.unspoiled == expected
