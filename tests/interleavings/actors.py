"""Who does what to the order: commands of clients and staff, the clock, partners that answer, a worker that rescues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace

from order_service.core.lifecycle import Status
from order_service.core.messages import Cancel, Command, GiveUpCall, Pay, RefundOrder, RetryCall, SetStatus, Tick
from order_service.engine import Frame
from order_service.requests import Reply
from tests.interleavings.beginnings import PART, Began, placing
from tests.interleavings.stage import Replica, Stage

ZOMBIE = "zombie"
"""The correlation id of whoever answers for a call that is not his any more: it must not be in any log."""

LATER = timedelta(hours=1)
"""Past the expiry of an unpaid order and the deadline of a payment."""

DUE = (
    "update partner_calls set lease_until = now() - interval '1 s'"
    " where order_id = $1::uuid and state = 'open' and kind <> 'late_check'"
)
NOBODY_ELSE = (
    "update partner_calls set lease_until = now() + interval '1 h'"
    " where order_id <> $1::uuid and state = 'open' and lease_until < now() + interval '1 min'"
)
CLAIMED_BY_ANOTHER = (
    "update partner_calls set token = token + 1, attempts = attempts + 1, lease_until = now() + interval '1 h'"
    " where order_id = $1::uuid and id = $2::uuid and state = 'open'"
)


class Cue(NamedTuple):
    """What one actor needs to know: the order, its replica, the key and the correlation id of its request."""

    stage: Stage
    replica: Replica
    order: Began
    key: str
    correlation_id: str


Act = Callable[[Cue], Awaitable[Reply | None]]


class Actor(NamedTuple):
    """``column`` is that of the table of answers, None for those who get none; ``before`` happens before both begin."""

    name: str
    act: Act
    column: str | None = None
    before: Act | None = None
    token: str | None = None


COMMANDS: dict[str, tuple[str, Command]] = {
    "pay": ("pay", Pay("tok_visa")),
    "pay other": ("pay", Pay("tok_other")),
    "pay declined": ("pay", Pay("tok_declined")),
    "cancel": ("cancel", Cancel("changed my mind")),
    "process": ("put processing", SetStatus(Status.PROCESSING)),
    "ship": ("put shipped", SetStatus(Status.SHIPPED)),
    "deliver": ("put delivered", SetStatus(Status.DELIVERED)),
    "put cancelled": ("put cancelled", SetStatus(Status.CANCELLED)),
    "put refunded": ("put refunded", SetStatus(Status.REFUNDED)),
    "refund part": ("refund part", RefundOrder("dent", PART)),
    "refund rest": ("refund rest", RefundOrder("lost")),
}


def _command(name: str) -> Actor:
    column, message = COMMANDS[name]

    async def act(cue: Cue) -> Reply:
        return await cue.replica.command(cue.order.order_id, message, cue.key, cue.correlation_id)

    return Actor(name, act, column, token=getattr(message, "token", None))


async def _create(cue: Cue) -> Reply:
    return await cue.replica.place(placing(cue.order.user_id), cue.key, cue.correlation_id)


async def _create_other(cue: Cue) -> Reply:
    return await cue.replica.place(placing(cue.order.user_id, "tok_other"), cue.key, cue.correlation_id)


async def _expire(cue: Cue) -> None:
    engine = cue.replica.engine
    clock = engine.clock
    engine.clock = _Ahead(clock)  # type: ignore[assignment]
    try:
        await engine.apply(cue.order.order_id, Tick(), Frame("system:timer", cue.correlation_id))
    finally:
        engine.clock = clock


class _Ahead:
    """The same clock, when the timers of the order have come."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.observe = clock.observe

    def now(self) -> datetime:
        now: datetime = self._clock.now()
        return now + LATER


async def _claim(cue: Cue) -> None:
    await cue.replica.worker._claim()


async def _due(cue: Cue) -> None:
    await cue.stage.rows(NOBODY_ELSE, cue.order.order_id)
    await cue.stage.rows(DUE, cue.order.order_id)


def _answer(kind: str) -> Actor:
    """Whoever was to make this call makes it now; its lease is over, but nobody has claimed the call."""

    async def act(cue: Cue) -> None:
        await cue.replica.dispatcher.make(cue.order.owed[kind])

    return Actor(f"answer {kind}", act, before=_due)


def _late(kind: str) -> Actor:
    """The same, after another replica has claimed the call."""

    async def claimed(cue: Cue) -> None:
        call = cue.order.owed.get(kind) or cue.order.owed[f"late {kind}"]
        await cue.stage.rows(CLAIMED_BY_ANOTHER, cue.order.order_id, call.call_id)

    async def act(cue: Cue) -> None:
        call = cue.order.owed.get(kind) or cue.order.owed[f"late {kind}"]
        await cue.replica.dispatcher.make(replace(call, correlation_id=ZOMBIE))

    return Actor(f"late {kind}", act, before=claimed)


async def _retry(cue: Cue) -> Reply:
    return await cue.replica.command(cue.order.order_id, RetryCall(cue.order.parked), cue.key, cue.correlation_id)


async def _give_up(cue: Cue) -> Reply:
    message = GiveUpCall(cue.order.parked, "settled by hand")
    return await cue.replica.command(cue.order.order_id, message, cue.key, cue.correlation_id)


KINDS = ("reserve", "release", "commit", "charge", "void", "refund")


async def _nobody(_: Cue) -> None:
    return None


NOBODY = Actor("nobody", _nobody)
"""For whoever is alone with the order."""

_ALL = (
    Actor("create", _create, "create"),
    Actor("create other", _create_other, "create"),
    *(_command(name) for name in COMMANDS),
    Actor("expire", _expire),
    Actor("claim", _claim, before=_due),
    *(_answer(kind) for kind in KINDS),
    *(_late(kind) for kind in KINDS),
    Actor("retry", _retry, "retry"),
    Actor("give up", _give_up, "give up"),
)
ACTORS = {actor.name: actor for actor in _ALL}
"""By name."""

MENU = {
    "absent": "create, create other",
    "reserving": "pay, cancel, expire, put cancelled, answer reserve, late reserve, claim",
    "pending": "pay, pay other, pay declined, cancel, expire, process, refund part",
    "paying": "pay, pay other, cancel, expire, ship, answer charge, late charge, claim",
    "unknown": "pay, cancel, expire, late charge, claim",
    "failing": "pay, pay other, cancel, expire, answer release, late release, claim",
    "failed": "pay, pay other, pay declined, cancel, expire",
    "confirmed": "pay, cancel, process, ship, refund part, refund rest, put cancelled, expire",
    "refunding": "cancel, process, refund part, refund rest, answer refund, late refund, claim",
    "processing": "cancel, process, ship, deliver, refund part, put refunded",
    "shipping": "cancel, deliver, refund part, refund rest, put refunded, answer commit, late commit, claim",
    "shipped": "pay, cancel, ship, deliver, refund part, refund rest, put refunded",
    "delivered": "cancel, deliver, refund part, refund rest, put refunded",
    "cancelling": "cancel, put refunded, refund rest, answer refund, late refund, answer release, claim",
    "voiding": "pay, cancel, put refunded, answer void, late charge, late void, claim",
    "parked": "pay, pay other, cancel, expire, retry, give up",
    "refund_failed": "cancel, refund part, process, retry, give up",
}
"""Who may come to an order of each beginning: pairs of them are driven, each with itself as well."""


def menu(beginning: str) -> list[Actor]:
    """The actors of a beginning."""
    return [ACTORS[name] for name in MENU[beginning].split(", ")]
