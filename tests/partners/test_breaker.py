"""When a partner is found away, how it is found back, and how many of the calls may be repeats."""

from __future__ import annotations

import asyncio

import pytest
from partner_rig import http, partners_at, raw_server, saying, silence

from order_service.core.answers import Released, Unanswered
from order_service.core.requests import ReleaseRequest, encode_request
from order_service.partners import dispatch_call
from order_service.partners.breaker import (
    FAILURES,
    LONGEST_PAUSE_S,
    PROBE_S,
    REPEATS_AT_ONCE,
    REPEATS_PER_CALL,
    REPEATS_PER_S,
    TOLD_AFTER_S,
    Breaker,
    RetryBudget,
)

RELEASE = encode_request(ReleaseRequest("res-1", "order-1"))
KEPT_BACK = Unanswered("breaker open", sent=False)


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("test", clock=clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        began = breaker.enter()
        assert began is not None
        breaker.failed(began, "status 503")


def test_the_breaker_opens_after_failures_in_a_row_only(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES - 1)
    breaker.answered(clock.now)
    fail(breaker, FAILURES - 1)
    assert not breaker.open
    fail(breaker)
    assert breaker.open


def test_one_probe_is_let_through_at_a_time(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    assert not breaker.shut
    assert breaker.enter() is not None
    assert breaker.shut
    assert [breaker.enter() for _ in range(100)] == [None] * 100
    clock.now += PROBE_S - 0.01
    assert breaker.enter() is None
    clock.now += 0.01
    assert breaker.enter() is not None, "a probe that says nothing does not keep the others back for ever"
    assert breaker.enter() is None


def test_a_probe_that_fails_is_followed_by_the_next_after_a_growing_pause(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    for ceiling_s in (0.25, 0.5, 1.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S):
        fail(breaker)
        clock.now += ceiling_s / 2 - 0.01
        assert breaker.enter() is None
        clock.now += ceiling_s / 2 + 0.01
    assert breaker.open


def test_the_first_answer_closes_the_breaker(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    probe = breaker.enter()
    assert probe is not None
    clock.now += 0.1
    breaker.answered(probe)
    assert not breaker.open
    assert [breaker.enter() for _ in range(3)] == [clock.now] * 3


def test_an_old_call_that_fails_late_does_not_put_off_the_probe(breaker: Breaker, clock: Clock) -> None:
    old = breaker.enter()
    assert old is not None
    clock.now += 1
    fail(breaker, FAILURES)
    assert breaker.enter() is not None
    breaker.failed(old, "timeout", timeout=True)
    clock.now += PROBE_S
    assert breaker.enter() is not None


def test_a_call_that_is_slow_while_others_are_answered_is_no_failure(breaker: Breaker, clock: Clock) -> None:
    slow = [breaker.enter() for _ in range(2 * FAILURES)]
    clock.now += 3
    breaker.answered(clock.now)
    clock.now += 4
    for began in slow:
        assert began is not None
        breaker.failed(began, "timeout", timeout=True)
    assert not breaker.open
    in_vain = [breaker.enter() for _ in range(FAILURES)]
    clock.now += 7
    for began in in_vain:
        assert began is not None
        assert not breaker.open
        breaker.failed(began, "timeout", timeout=True)
    assert breaker.open


def test_a_partner_that_nobody_asked_for_a_while_is_not_said_to_be_away(breaker: Breaker, clock: Clock) -> None:
    assert not breaker.away
    fail(breaker, FAILURES)
    assert breaker.away
    clock.now += TOLD_AFTER_S
    assert breaker.open
    assert not breaker.away


def test_a_quiet_system_repeats_at_once_and_a_busy_one_a_fifth_of_its_calls(clock: Clock) -> None:
    budget = RetryBudget(clock=clock)
    at_once = int(REPEATS_AT_ONCE)
    assert [budget.again() for _ in range(at_once + 50)] == [True] * at_once + [False] * 50
    calls = 1000
    for _ in range(calls):
        budget.first()
    allowed = 0
    for _ in range(calls):
        allowed += budget.again()
        budget.first()
    # A repeat spends what five calls have paid; the first hundred were saved up meanwhile.
    assert allowed <= at_once + calls * REPEATS_PER_CALL / (1 - REPEATS_PER_CALL) + 1
    assert allowed >= at_once + calls * REPEATS_PER_CALL - 1
    while budget.again():
        pass
    clock.now += 1
    assert sum(budget.again() for _ in range(100)) == REPEATS_PER_S


def test_an_open_breaker_sends_nothing_and_an_answer_of_any_kind_closes_it() -> None:
    async def story() -> tuple[list[object], int, list[object]]:
        async with raw_server(saying(http(503, "", "Connection: close"))) as server:
            partners = partners_at(server.url)
            first = [
                await dispatch_call(partners, "release", RELEASE, "key-1", timeout_s=5) for _ in range(FAILURES + 20)
            ]
            heard = len(server.heard)
        async with raw_server(saying(http(404, "", "Connection: close"))) as back:
            back_at = partners_at(back.url).wires[0]._connections
            partners.wires[0]._connections = back_at
            async with asyncio.timeout(20):
                while not back.heard:
                    await dispatch_call(partners, "release", RELEASE, "key-1", timeout_s=5)
                    await asyncio.sleep(0.01)
            later = [await dispatch_call(partners, "release", RELEASE, "key-1", timeout_s=5) for _ in range(3)]
        await partners.close()
        return first, heard, later

    first, heard, later = asyncio.run(story())
    assert first[:FAILURES] == [Unanswered("status 503")] * FAILURES
    assert first[-15:] == [KEPT_BACK] * 15
    assert heard == sum(answer == Unanswered("status 503") for answer in first)
    assert later == [Unanswered("status 404")] * 3


def test_partners_have_breakers_of_their_own() -> None:
    async def story() -> tuple[list[bool], object]:
        async with raw_server(saying(http(200))) as server:
            partners = partners_at(server.url)
            for name in ("payment", "cart"):
                fail(partners.breakers[name], FAILURES)
            answer = await dispatch_call(partners, "release", RELEASE, "key-1", timeout_s=5)
            await partners.close()
            return [partners.breakers[name].open for name in ("inventory", "cart", "payment")], answer

    assert asyncio.run(story()) == ([False, True, True], Released())


def test_a_deadline_too_short_to_be_kept_is_not_held_against_the_partner() -> None:
    async def story() -> bool:
        async with raw_server(silence) as server:
            partners = partners_at(server.url)
            calls = (dispatch_call(partners, "release", RELEASE, "key-1", timeout_s=0.05) for _ in range(2 * FAILURES))
            assert set(await asyncio.gather(*calls)) == {Unanswered("timeout")}
            await partners.close()
            return partners.breakers["inventory"].open

    assert asyncio.run(story()) is False
