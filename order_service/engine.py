"""load -> decide -> commit, again on a lost race; and whoever waits for an order is told what became of it.

One path for requests, partner answers and timers, on any replica: nothing that matters lives in memory. A waiter
that is never told (another replica got the answer) looks into the database when its deadline comes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from order_service import metrics
from order_service.clock import DatabaseClock, new_order_number
from order_service.core.decide import decide
from order_service.core.messages import NOT_FINAL, Asked, Closing, Decision, End, Message, PlaceOrder
from order_service.core.model import Policy
from order_service.core.outcome import Outcome, outcome
from order_service.problems import Conflict, OrderNotFound, StaleVersion, problem
from order_service.randomness import random_uuid
from order_service.requests import Reply
from order_service.store.commit import Entry, KeyBinding, Remember, Result, StoredReply, Verdict
from order_service.store.committer import Committer
from order_service.store.load import NO_CONTACTS, Loaded, Loader, document

log = structlog.get_logger("engine")
_encode = msgspec.json.Encoder().encode

MAX_TRIES = 40
"""Lost races in a row before a request gives up; each lost race means that another change was committed."""

BACKOFF_BASE_S = 0.25
BACKOFF_CAP_S = 5.0
"""A partner that is back is found so within this time; how much it is asked while away, others see to."""
POLL_CAP_S = 30.0
"""For what was answered and is not final yet."""
RETRY = "retry_call"


class Frame(Struct, frozen=True):
    """Who causes a change, and the ids that lead from a request to its logs, calls and events."""

    actor: str
    correlation_id: str
    traceparent: str | None = None


class KeyTaken(Exception):
    """The Idempotency-Key of this request was bound by another one meanwhile."""


class Owed(Struct, frozen=True):
    """A call that this process holds the lease of and will make now, with the order as it was when it was owed."""

    order_id: str
    call_id: str
    kind: str
    key: str
    request: bytes
    token: int
    attempts: int
    correlation_id: str
    traceparent: str | None = None
    hint: Loaded | None = None
    expired: bool = False
    age_s: float = 0.0


class Applied(Struct, frozen=True):
    """What a message led to: the order after it, and whether anything was written."""

    decision: Decision
    loaded: Loaded
    written: bool


class Waiter:
    """A request that waits for its answer; ``binding`` is the Idempotency-Key under which the answer is remembered."""

    def __init__(
        self, asked: Asked, binding: KeyBinding | None, correlation_id: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.asked = asked
        self.binding = binding
        self.correlation_id = correlation_id
        self._loop = loop
        self.reply: asyncio.Future[Reply | None] = loop.create_future()
        """None where the answer has come by another way, or not in time, and is to be looked up."""

    async def told(self, within_s: float) -> None:
        """Wait until ``reply`` is there; after ``within_s`` seconds it is None."""
        if not self.reply.done():
            timer = self._loop.call_later(within_s, self._give_up)
            try:
                await self.reply
            finally:
                timer.cancel()

    def _give_up(self) -> None:
        if not self.reply.done():
            self.reply.set_result(None)


class _Turn:
    """One change of an order at a time in this process: its rivals are other replicas only.

    ``last`` is the order as the newest of the ``commits`` made in turn left it; whoever was in line before that commit
    goes on from there and need not load it.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.commits = 0
        self.last: Loaded | None = None


def backoff_s(attempts: int, retry_after_s: float | None, cap_s: float = BACKOFF_CAP_S) -> float:
    """Full jitter, from nothing to a ceiling that doubles; on top of a partner's own wish, which is honoured.

    Calls that failed together come back evenly over the whole time: with a floor they would come together again.
    """
    ceiling = min(cap_s, BACKOFF_BASE_S * 2 ** min(attempts, 10))
    return (retry_after_s or 0.0) + random.uniform(0, ceiling)  # noqa: S311 - spreads load, no secret


def render(result: Outcome, body: bytes, version: int, correlation_id: str, created: str | None = None) -> Reply:
    """The bytes of an answer: the order, or the problem document that stands in its place.

    ``created`` is the id of the order where the answer is to one that was placed.
    """
    if result.refusal is not None:
        return Reply(
            result.status,
            problem(result.refusal, correlation_id),
            problem=True,
            retry_after_s=result.refusal.retry_after_s,
        )
    return Reply(result.status, body, version, location=location_of(created))


def location_of(order_id: str | None) -> str | None:
    """Where an order is found."""
    return f"/api/v1/orders/{order_id}" if order_id else None


class Engine:
    """Applies messages to orders; hands the calls that follow to ``start_calls``."""

    def __init__(
        self,
        loader: Loader,
        committer: Committer,
        clock: DatabaseClock,
        policy: Policy,
        *,
        lease_s: float,
        start_calls: Callable[[list[Owed]], None],
    ) -> None:
        self._loader = loader
        self._committer = committer
        self.clock = clock
        self._policy = policy
        self._lease_s = lease_s
        self._start_calls = start_calls
        self._waiters: defaultdict[str, list[Waiter]] = defaultdict(list)
        self._turns: dict[str, _Turn] = {}

    async def load(self, order_id: str) -> Loaded:
        """The order as it is now; raises ``OrderNotFound``."""
        loaded = await self._loader.load(order_id)
        if loaded is None:
            raise OrderNotFound
        return loaded

    async def apply(
        self,
        order_id: str,
        message: Message,
        frame: Frame,
        *,
        key: KeyBinding | None = None,
        if_match: int | None = None,
        hint: Loaded | None = None,
        call: Owed | None = None,
        waiter: Waiter | None = None,
    ) -> Applied:
        """Decide and commit until it holds; a ``Refusal`` of the rules is raised as it is, with nothing written.

        ``hint`` is the order as this process saw it last: where it is stale the commit says so. ``waiter`` is
        registered as soon as the decision tells what to wait for.
        """
        turn = self._turns.setdefault(order_id, _Turn())
        turn.users += 1
        commits = turn.commits
        try:
            async with turn.lock:
                if turn.commits != commits:
                    hint = turn.last
                applied = await self._apply(
                    order_id, message, frame, key=key, if_match=if_match, hint=hint, call=call, waiter=waiter
                )
                if applied.written and applied.decision.change is not None:
                    # Only a new version was the newest when it was written; what is less goes unseen past others.
                    turn.commits, turn.last = turn.commits + 1, applied.loaded
                return applied
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[order_id]

    async def _apply(
        self,
        order_id: str,
        message: Message,
        frame: Frame,
        *,
        key: KeyBinding | None,
        if_match: int | None,
        hint: Loaded | None,
        call: Owed | None,
        waiter: Waiter | None,
    ) -> Applied:
        for attempt in range(MAX_TRIES):
            loaded = hint or await self.load(order_id)
            hint = None
            if if_match is not None and loaded.state.order.version != if_match:
                raise StaleVersion(loaded.state.order.version)
            decision = decide(loaded.state, message, self.clock.now(), self._policy)
            if not decision.writes:
                self._tell(loaded)
                if key is None:
                    return Applied(decision, loaded, written=False)
                # What the command met is its answer for ever, also when it is only an interim one by now.
                key = replace(key, busy_s=0)
            done = await self._commit(loaded, decision, frame, key=key, call=call, waiter=waiter)
            match done.verdict:
                case Verdict.APPLIED:
                    assert done.loaded is not None
                    return Applied(decision, done.loaded, written=decision.writes)
                case Verdict.CALL_GONE:
                    return Applied(decision, loaded, written=False)
                case Verdict.KEY_TAKEN:
                    raise KeyTaken
            await asyncio.sleep(random.uniform(0, 0.002 * min(attempt, 10)))  # noqa: S311 - spreads load
        raise Conflict

    async def place(
        self, message: PlaceOrder, frame: Frame, *, key: KeyBinding | None = None, waiter: Waiter | None = None
    ) -> Applied:
        """Write a new order; a taken order number is met by drawing another one."""
        for _ in range(MAX_TRIES):
            decision = decide(None, message, self.clock.now(), self._policy)
            done = await self._commit(None, decision, frame, key=key, waiter=waiter)
            match done.verdict:
                case Verdict.APPLIED:
                    assert done.loaded is not None
                    return Applied(decision, done.loaded, written=True)
                case Verdict.KEY_TAKEN:
                    raise KeyTaken
                case Verdict.NUMBER_TAKEN:
                    message = replace(message, order_number=new_order_number())
        raise Conflict

    # --- one commit ---

    async def _commit(
        self,
        base: Loaded | None,
        decision: Decision,
        frame: Frame,
        *,
        key: KeyBinding | None,
        call: Owed | None = None,
        waiter: Waiter | None = None,
    ) -> Result:
        order_id = decision.state.order.id
        waiting = self._waiters.get(order_id, [])
        if waiter is not None and decision.asked is not None:
            waiter.asked = decision.asked
            waiting = [*waiting, waiter]  # not for others to see before it is true that the command was applied
        order = decision.state.order
        snapshot = _encode(order) if base is None or decision.change is not None else base.snapshot
        settled = self._settle(decision, base, waiting, snapshot)
        entry = self._entry(base, decision, frame, key, call, settled, snapshot)
        sent = time.monotonic()

        def committed(done: Result) -> None:
            self.clock.observe(done.at, sent, time.monotonic())
            metrics.verdicts(done.verdict).inc()
            if not done.applied:
                return
            _count(base, decision)
            if waiter is not None and decision.writes and not waiter.reply.done():
                self._waiters[order_id].append(waiter)
            for who, reply in settled:
                self.forget(order_id, who)
                if not who.reply.done():
                    who.reply.set_result(reply)
            assert done.loaded is not None
            self._tell(done.loaded)
            self._begin_calls(decision, done, frame)

        try:
            return await self._committer.commit(entry, then=committed)
        except asyncio.CancelledError:
            # The commit goes on, and its calls begin; only the answer is nobody's any more.
            if waiter is not None:
                waiter.reply.cancel()
                self.forget(order_id, waiter)
            raise

    def _tell(self, loaded: Loaded) -> None:
        """Who waits for what has happened already looks for the answer now, not at the deadline.

        That is who came too late for the statement that settled it, or whom another replica's statement settled.
        """
        order = loaded.state.order
        for who in list(self._waiters.get(order.id, ())):
            if outcome(who.asked, order).settled:
                self.forget(order.id, who)
                if not who.reply.done():
                    who.reply.set_result(None)

    def _entry(
        self,
        base: Loaded | None,
        decision: Decision,
        frame: Frame,
        key: KeyBinding | None,
        call: Owed | None,
        settled: list[tuple[Waiter, Reply]],
        snapshot: bytes,
    ) -> Entry:
        remember = []
        if key is not None and decision.asked is not None:
            key = replace(key, asked=decision.asked)
        for who, reply in settled:
            if who.binding is None:
                continue
            stored = StoredReply(reply.status, reply.body, reply.version, reply.problem)
            bound = who.binding
            if key is not None and (bound.principal, bound.route, bound.key) == (key.principal, key.route, key.key):
                key = replace(key, reply=stored)  # bound in this very statement: an update would not see the row
            else:
                remember.append(Remember(bound.principal, bound.route, bound.key, stored))
        answered = next((c for c in decision.closings if c.call_id == decision.answered), None)
        return Entry(
            decision=decision,
            decision_id=random_uuid(),
            snapshot=snapshot,
            base=base,
            actor=frame.actor,
            correlation_id=frame.correlation_id,
            traceparent=frame.traceparent,
            call_token=call.token if call is not None and decision.answered else None,
            key=key,
            remember=tuple(remember),
            # A call that a person wants sent again is left to the worker, which has its bytes.
            lease_s=0 if decision.message == RETRY else self._lease_s,
            retry_in_s=_pause_s(call, answered) if _repeats(decision) else 0.0,
        )

    def give_interim(self, order_id: str) -> None:
        """What the order waits for will take its time: who waits is answered 202 now, not at the deadline."""
        for who in list(self._waiters.get(order_id, ())):
            self.forget(order_id, who)
            if not who.reply.done():
                who.reply.set_result(None)

    @staticmethod
    def _settle(
        decision: Decision, base: Loaded | None, waiting: list[Waiter], snapshot: bytes
    ) -> list[tuple[Waiter, Reply]]:
        """Answers that this commit settles; those with a key are remembered in the same statement."""
        order = decision.state.order
        if not waiting:
            return []
        contacts = _encode(decision.contacts) if decision.contacts is not None else base and base.contacts
        body = None
        settled = []
        for who in waiting:
            result = outcome(who.asked, order)
            if not result.settled:
                continue
            body = body or document(snapshot, contacts or NO_CONTACTS)
            created = order.id if who.asked.kind == "place" else None
            settled.append((who, render(result, body, order.version, who.correlation_id, created)))
        return settled

    def _begin_calls(self, decision: Decision, done: Result, frame: Frame) -> None:
        owed = [
            Owed(
                order_id=decision.state.order.id,
                call_id=call.call_id,
                kind=call.kind,
                key=call.key,
                request=call.request,
                token=done.tokens[call.call_id],
                attempts=1,
                correlation_id=frame.correlation_id,
                traceparent=frame.traceparent,
                hint=done.loaded,
            )
            for call in decision.calls
            if call.call_id in done.tokens
        ]
        if owed:
            self._start_calls(owed)

    def forget(self, order_id: str, waiter: Waiter | None) -> None:
        """The waiter waits no more."""
        waiting = self._waiters.get(order_id)
        if waiting is None or waiter is None:
            return
        if waiter in waiting:
            waiting.remove(waiter)
        if not waiting:
            del self._waiters[order_id]


def _repeats(decision: Decision) -> bool:
    return any(closing.end is End.AGAIN for closing in decision.closings)


def _pause_s(call: Owed | None, answered: Closing | None) -> float:
    """How long a call that is sent again waits; what was not sent had no failure to recover from."""
    if call is None or answered is None:
        return backoff_s(0, None)
    if answered.outcome == NOT_FINAL:
        return backoff_s(call.attempts, None, POLL_CAP_S)
    return backoff_s(call.attempts if answered.sent else call.attempts - 1, answered.retry_after_s)


def _count(base: Loaded | None, decision: Decision) -> None:
    order = decision.state.order
    if base is None or base.state.order.status is not order.status:
        metrics.status_changes(order.status).inc()
        if order.cancellation is not None and order.cancellation.code == "expired" and order.status == "cancelled":
            metrics.EXPIRED.inc()
    for closing in decision.closings:
        if closing.end is End.PARKED and base is not None:
            kinds = [call.kind for call in base.state.calls if call.call_id == closing.call_id]
            metrics.PARKED.labels(kinds[0] if kinds else "unknown").inc()
