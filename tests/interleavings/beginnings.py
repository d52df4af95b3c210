"""Orders to start from: made by the service itself, and left alone in the middle where a beginning asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from msgspec.structs import replace

from order_service.clock import new_order_id, new_order_number
from order_service.core.answers import CallKind, Unanswered
from order_service.core.lifecycle import Status
from order_service.core.messages import Answered, Cancel, Message, Pay, PlaceOrder, RefundOrder, SetStatus
from order_service.core.model import Line
from order_service.engine import Frame, Owed
from tests.interleavings.stage import Stage
from tests.store.given import CONTACTS

TOTAL, PART = 1000, 300


def placing(user_id: str, token: str = "tok_visa") -> PlaceOrder:
    """An order of one lamp."""
    line = Line(1, "lamp", "Lamp", 1, TOTAL, TOTAL)
    return PlaceOrder("", "", user_id, "EUR", (line,), CONTACTS, token=token)


_NOT_DUE = """
update partner_calls set lease_until = now() + interval '1 h'
where order_id = $1::uuid and state = 'open' and lease_until < now() + interval '1 h'
"""


class Began(NamedTuple):
    """An order to start from, and the calls that whoever prepared it never made; ``version`` is where it starts."""

    order_id: str
    user_id: str
    owed: dict[str, Owed]
    parked: str
    version: int


class Maker:
    """Prepares one order, message by message and call by call."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._replica = stage.prepares
        self._stale: dict[str, Owed] = {}
        self.user_id = f"user-{next(stage.numbers)}-{id(stage):x}"
        self.order_id = ""

    async def place(self, token: str = "tok_visa") -> None:
        """The order is written, its stock asked for."""
        message = replace(
            placing(self.user_id, token),
            order_id=new_order_id(self._replica.engine.clock.now()),
            order_number=new_order_number(),
        )
        self.order_id = message.order_id
        await self._replica.engine.place(message, _frame("prepares"))

    async def apply(self, message: Message) -> None:
        """A message, whose calls are left for later."""
        await self._replica.engine.apply(self.order_id, message, _frame("prepares"))

    def owed(self, kind: str) -> Owed:
        """The call of this kind that was left."""
        [found] = [call for call in self._stage.collected[self.order_id] if call.kind == kind]
        return found

    async def make(self, *kinds: str) -> None:
        """Make calls that were left, one after the other."""
        for kind in kinds:
            call = self.owed(kind)
            self._stage.collected[self.order_id].remove(call)
            await self._replica.dispatcher.make(call)

    async def lose(self, kind: str) -> None:
        """The call was made, and nobody heard of it; whoever made it holds on to a lease that is over."""
        call = self.owed(kind)
        self._stage.collected[self.order_id].remove(call)
        self._stale[f"late {kind}"] = call
        frame = _frame("partner:payment")
        await self._replica.engine.apply(self.order_id, Answered(call.call_id, Unanswered("timeout")), frame, call=call)

    async def done(self) -> Began:
        """The order, and what is left."""
        loaded = await self._replica.engine.load(self.order_id)
        left = {str(call.kind): call for call in self._stage.collected.pop(self.order_id, [])}
        parked = [call.call_id for call in loaded.state.calls if call.parked]
        attention = loaded.state.order.attention
        await self._stage.rows(_NOT_DUE, self.order_id)
        return Began(
            self.order_id,
            self.user_id,
            left | self._stale,
            parked[0] if parked else attention.call_id if attention else "",
            loaded.version,
        )


def _frame(actor: str) -> Frame:
    return Frame(actor, "prepared")


async def reserving(m: Maker) -> None:
    await m.place()


async def pending(m: Maker, token: str = "tok_visa") -> None:
    await m.place(token)
    await m.make(CallKind.RESERVE, CallKind.CLEAR_CART)


async def paying(m: Maker) -> None:
    await pending(m)
    await m.apply(Pay())


async def unknown(m: Maker) -> None:
    await paying(m)
    await m.lose(CallKind.CHARGE)


async def failing(m: Maker) -> None:
    await pending(m, "tok_declined")
    await m.apply(Pay())
    await m.make(CallKind.CHARGE)


async def failed(m: Maker) -> None:
    await failing(m)
    await m.make(CallKind.RELEASE)


async def confirmed(m: Maker, token: str = "tok_visa") -> None:
    await pending(m, token)
    await m.apply(Pay())
    await m.make(CallKind.CHARGE)


async def refunding(m: Maker) -> None:
    await confirmed(m)
    await m.apply(RefundOrder("dent", PART))


async def processing(m: Maker) -> None:
    await confirmed(m)
    await m.apply(SetStatus(Status.PROCESSING))


async def shipping(m: Maker) -> None:
    await processing(m)
    await m.apply(SetStatus(Status.SHIPPED))


async def shipped(m: Maker) -> None:
    await shipping(m)
    await m.make(CallKind.COMMIT)


async def delivered(m: Maker) -> None:
    await shipped(m)
    await m.apply(SetStatus(Status.DELIVERED))


async def cancelling(m: Maker) -> None:
    await confirmed(m)
    await m.apply(Cancel())


async def voiding(m: Maker) -> None:
    await unknown(m)
    await m.apply(Cancel())


async def parked(m: Maker) -> None:
    await pending(m, "tok_refused")
    await m.apply(Pay())
    await m.make(CallKind.CHARGE)


async def refund_failed(m: Maker) -> None:
    await confirmed(m, "tok_refund_fails")
    await m.apply(RefundOrder("dent", PART))
    await m.make(CallKind.REFUND)


async def absent(m: Maker) -> None:
    """No order yet."""


BEGINNINGS: dict[str, Callable[[Maker], Awaitable[None]]] = {
    work.__name__: work
    for work in (
        absent, reserving, pending, paying, unknown, failing, failed, confirmed, refunding, processing, shipping,
        shipped, delivered, cancelling, voiding, parked, refund_failed,
    )
}  # fmt: skip
"""By name."""


async def begin(stage: Stage, name: str) -> Began:
    """One order of this beginning."""
    maker = Maker(stage)
    await BEGINNINGS[name](maker)
    return Began("", maker.user_id, {}, "", 0) if not maker.order_id else await maker.done()
