"""The only place that talks to a partner: makes calls whose lease this process holds, feeds the answers back.

Calls come from two sides that end in the same code: a commit of this process hands over the calls it has just
written (already leased), and the worker claims calls whose lease has run out, its own and those of dead replicas.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from order_service import metrics
from order_service.core.answers import Answer, CallKind, KeyTooOld, Lied, Unanswered
from order_service.core.errors import Refusal
from order_service.core.messages import Answered, Tick
from order_service.engine import Engine, Frame, Owed
from order_service.partners.breaker import RetryBudget
from order_service.partners.door import Partners, dispatch_call
from order_service.store.away import DATABASE_AWAY
from order_service.store.calls import claim, due_timers
from order_service.store.keys import purge_keys
from order_service.store.reads import clock as database_time

log = structlog.get_logger("dispatch")

CLAIM_AT_ONCE = 50
POLL_S = 0.25
"""An idle worker looks this often; a busy one goes on at once."""

SWEEP_S = 0.5
BROKEN_ORDER_PAUSE_S = 30.0
"""An order whose timer cannot be handled is left alone this long, so that the sweep goes on with the others."""

UNREACHED_ORDER_PAUSE_S = 10.0
TICK_WITHIN_S = 3.0
OVER_BUDGET_S = 0.5
"""A repeat that the budget does not allow is looked at again after this, and its own pause."""

PURGE_S = 600.0
PURGE_AT_ONCE = 1000
STEP_ENDS_WITHIN_S = 2.0
"""A worker that is stopped finishes the step it is at: calls that were just claimed are not left to their lease."""

PARTNERS = ("inventory", "cart", "payment")

_PARTNER: dict[str, str] = {
    CallKind.RESERVE: "inventory",
    CallKind.RELEASE: "inventory",
    CallKind.COMMIT: "inventory",
    CallKind.CLEAR_CART: "cart",
}


_POLLS = (CallKind.READ_PAYMENT, CallKind.READ_REFUND)
"""They are asked again because they were answered: no repeats."""

_MOVES_MONEY = (CallKind.CHARGE, CallKind.REFUND)
"""With a key that the payment service has forgotten, these would move it twice."""

_AWAITED = (CallKind.RESERVE, CallKind.CHARGE, CallKind.CHECK_PAYMENT, CallKind.REFUND)
"""Requests wait for the answers to these."""


def partner_of(kind: str) -> str:
    """Which partner a kind of call goes to."""
    return _PARTNER.get(kind, "payment")


class Dispatcher:
    """Makes calls, at most ``at_once`` per partner; a call waits for its turn only as long as its lease allows."""

    def __init__(self, partners: Partners, *, timeout_s: float, lease_s: float, at_once: int = 256) -> None:
        self._loop = asyncio.get_running_loop()
        self._partners = partners
        self._timeout_s = timeout_s
        self._slack_s = lease_s - timeout_s
        self._at_once = at_once
        self.most_tasks = 2 * at_once * len(PARTNERS)
        self._turns = {name: asyncio.Semaphore(at_once) for name in PARTNERS}
        self._under_way: Counter[str] = Counter()
        self._breakers = partners.breakers
        self._keys = partners.payment.keys
        self._budgets = {name: RetryBudget() for name in PARTNERS}
        self._tasks: set[asyncio.Task[None]] = set()
        self.engine: Engine | None = None

    def start_calls(self, calls: list[Owed]) -> None:
        """Make these calls in the background; a request that waits for them may go away meanwhile.

        Beyond the bound they are left to their leases, and to whoever claims them then.
        """
        for call in calls:
            if len(self._tasks) < self.most_tasks:
                self.spawn(self.make(call))
            else:
                metrics.CALLS_KEPT_BACK.labels(partner_of(call.kind), "too many under way").inc()

    def room(self, partner: str) -> int:
        """How many more calls to this partner would get their turn at once; one where it is only probed."""
        breaker = self._breakers.get(partner)
        if breaker is not None and breaker.open:
            return 0 if breaker.shut else 1
        return max(0, self._at_once - self._under_way[partner])

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the background and keep hold of it: the event loop alone would forget it."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def busy(self) -> int:
        """Calls under way."""
        return len(self._tasks)

    async def make(self, call: Owed) -> None:
        """One exchange with the partner, and its answer applied under the lease's token."""
        partner = partner_of(call.kind)
        self._under_way[partner] += 1
        try:
            await self._make(call)
        except Exception:
            log.exception("call_not_made", call_id=call.call_id, order_id=call.order_id)
        finally:
            self._under_way[partner] -= 1

    async def _make(self, call: Owed) -> None:
        started = time.monotonic()
        answer = await self._exchange(call, started)
        if answer is None:
            return
        partner = partner_of(call.kind)
        if isinstance(answer, Unanswered) and not answer.sent:
            metrics.CALLS_KEPT_BACK.labels(partner, answer.reason).inc()
            await self._apply(call, answer, started)
            return
        took_s = time.monotonic() - started
        metrics.call_seconds(partner, call.kind).observe(took_s)
        metrics.call_answers(partner, call.kind, type(answer).__name__).inc()
        log.info(
            "partner_call",
            kind=call.kind,
            order_id=call.order_id,
            call_id=call.call_id,
            attempt=call.attempts,
            answer=type(answer).__name__,
            reason=answer.reason if isinstance(answer, Unanswered) else None,
            duration_ms=round(took_s * 1000, 1),
            correlation_id=call.correlation_id,
        )
        await self._apply(call, answer, started)

    async def _exchange(self, call: Owed, started: float) -> Answer | None:
        if call.expired:
            return Unanswered("too late to be sent")
        if call.kind in _MOVES_MONEY and call.age_s > self._keys.safe_s:
            return KeyTooOld()
        partner = partner_of(call.kind)
        breaker = self._breakers.get(partner)
        if breaker is not None and breaker.shut:
            return Unanswered("breaker open", sent=False)
        if call.attempts <= 1:
            self._budgets[partner].first()
        elif call.kind not in _POLLS and not self._budgets[partner].again():
            return Unanswered("too many repeats", OVER_BUDGET_S, sent=False)
        turn = self._turns[partner]
        try:
            if turn.locked():
                async with asyncio.timeout(self._slack_s / 2):
                    await turn.acquire()
            else:
                await turn.acquire()
        except TimeoutError:
            return None  # the lease runs out by itself, and whoever claims the call next makes it
        try:
            return await dispatch_call(
                self._partners,
                call.kind,
                call.request,
                call.key,
                timeout_s=self._timeout_s,
                correlation_id=call.correlation_id,
                alone=call.attempts > 1,
            )
        finally:
            turn.release()

    async def _apply(self, call: Owed, answer: Answer, started: float) -> None:
        assert self.engine is not None
        frame = Frame(f"partner:{partner_of(call.kind)}", call.correlation_id, call.traceparent)
        message = Answered(call.call_id, answer)
        hint = call.hint
        for pause_s in (0.1, 0.4, 1.0, 0):
            try:
                await self.engine.apply(call.order_id, message, frame, hint=hint, call=call)
                if isinstance(answer, Unanswered) and not answer.sent and call.kind in _AWAITED:
                    self.engine.give_interim(call.order_id)
                return
            except (Refusal, *DATABASE_AWAY) as fault:
                log.warning("answer_not_stored", call_id=call.call_id, fault=type(fault).__name__)
                hint = None
                if not pause_s or time.monotonic() - started + pause_s > self._timeout_s + self._slack_s:
                    return  # the same call is made again when its lease has run out
                await asyncio.sleep(pause_s)
            except Exception:
                log.exception("answer_not_applied", call_id=call.call_id, order_id=call.order_id)
                await self._park(call, frame)
                return

    async def _park(self, call: Owed, frame: Frame) -> None:
        """An answer that breaks the rules or the database's constraints would break them again: a person must look."""
        assert self.engine is not None
        message = Answered(call.call_id, Lied("the answer could not be applied"))
        try:
            await self.engine.apply(call.order_id, message, frame, call=call)
        except Exception:
            log.exception("call_not_parked", call_id=call.call_id, order_id=call.order_id)

    async def drain(self, timeout_s: float) -> None:
        """Wait for calls under way, up to ``timeout_s`` seconds; what is left is found by its lease."""
        deadline = time.monotonic() + timeout_s
        while self._tasks and time.monotonic() < deadline:  # an answer may lead to the next call
            await asyncio.wait(set(self._tasks), timeout=deadline - time.monotonic())
        for task in self._tasks:
            task.cancel()


class Worker:
    """Claims what is owed and due, and sweeps the timers: the same claim at every replica, all the time."""

    def __init__(self, engine: Engine, pool: asyncpg.Pool, dispatcher: Dispatcher, *, lease_s: float) -> None:
        self._engine = engine
        self._pool = pool
        self._dispatcher = dispatcher
        self._lease_s = lease_s
        self._stopping = asyncio.Event()
        self._left_alone: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to claim and to sweep."""
        self._tasks = [
            asyncio.create_task(self._repeat(self._claim, POLL_S, "claim")),
            asyncio.create_task(self._repeat(self._sweep, SWEEP_S, "sweep")),
            asyncio.create_task(self._repeat(self._purge, PURGE_S, "purge")),
        ]

    def claim_no_more(self) -> None:
        """End after the step that is under way."""
        self._stopping.set()

    async def stop(self) -> None:
        """Claim nothing more; calls under way are the dispatcher's."""
        self.claim_no_more()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STEP_ENDS_WITHIN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, step: Callable[[], Coroutine[Any, Any, bool]], pause_s: float, name: str) -> None:
        pause = pause_s
        while not self._stopping.is_set():
            try:
                more = await step()
                pause = pause_s
            except Exception as fault:
                more = False
                pause = min(pause * 2, 5.0)
                log.warning(f"{name}_failed", fault=f"{type(fault).__name__}: {fault}")
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stopping.wait()

    async def _claim(self) -> bool:
        room = {name: self._dispatcher.room(name) for name in PARTNERS}
        if min(room.values()) >= CLAIM_AT_ONCE:
            return await self._claim_of(None, CLAIM_AT_ONCE)
        # What is claimed beyond the turns that are left would only lose its lease: others may have turns.
        more = [
            await self._claim_of([kind for kind in CallKind if partner_of(kind) == name], min(left, CLAIM_AT_ONCE))
            and left > 1  # a probe has to be answered first
            for name, left in room.items()
            if left
        ]
        return any(more)

    async def _claim_of(self, kinds: list[CallKind] | None, limit: int) -> bool:
        claimed = await claim(self._pool, limit=limit, lease_s=self._lease_s, kinds=kinds)
        self._dispatcher.start_calls(
            [
                Owed(
                    order_id=c.order_id,
                    call_id=c.call_id,
                    kind=c.kind,
                    key=c.key,
                    request=c.request,
                    token=c.token,
                    attempts=c.attempts,
                    correlation_id=c.correlation_id,
                    traceparent=c.traceparent,
                    expired=c.drop,
                    age_s=c.age_s,
                )
                for c in claimed
            ]
        )
        return len(claimed) == limit

    async def _sweep(self) -> bool:
        now = time.monotonic()
        self._left_alone = {k: until for k, until in self._left_alone.items() if until > now}
        due = await due_timers(self._pool, limit=CLAIM_AT_ONCE, skip=[*self._left_alone])
        if due:
            # The database says that it is time: a clock that thinks otherwise (a machine that slept) is put right.
            sent = time.monotonic()
            self._engine.clock.observe(await database_time(self._pool), sent, time.monotonic())
        for order_id in due:
            if self._stopping.is_set():
                break
            try:
                async with asyncio.timeout(TICK_WITHIN_S):
                    await self._engine.apply(order_id, Tick(), Frame("system:timer", f"timer-{order_id}"))
            except DATABASE_AWAY:
                self._left_alone[order_id] = time.monotonic() + UNREACHED_ORDER_PAUSE_S
                raise
            except Exception:
                self._left_alone[order_id] = time.monotonic() + BROKEN_ORDER_PAUSE_S
                log.exception("timer_failed", order_id=order_id)
        return len(due) == CLAIM_AT_ONCE

    async def _purge(self) -> bool:
        return await purge_keys(self._pool, limit=PURGE_AT_ONCE) == PURGE_AT_ONCE
