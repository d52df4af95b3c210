"""Transcripts of one order: given some messages, when one more comes, then exactly this.

``then`` asserts everything that a decision may do, so what a test does not name must not have happened: no event, no
call, no call ended.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from order_service.core.answers import (
    Answer,
    CallKind,
    CartCleared,
    PaymentState,
    RefundState,
    Released,
    Reserved,
    Shortage,
    StockCommitted,
    Unanswered,
)
from order_service.core.decide import decide
from order_service.core.errors import Refusal
from order_service.core.lifecycle import PaymentFacet, Status, Stock
from order_service.core.messages import (
    Answered,
    Call,
    Cancel,
    Decision,
    End,
    Event,
    Message,
    Pay,
    PlaceOrder,
    SetStatus,
)
from order_service.core.model import Address, Attempt, Contacts, Line, OpenCall, Order, Policy, Refund, State
from order_service.core.outcome import Outcome, outcome

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
CONTACTS = Contacts(Address("Ada", "Main Street 1", "Berlin", "10115", "DE"))
SHORT = (Shortage("lamp", 2, 1),)
SILENCE = Unanswered("no answer in time")


def lines(total: int) -> tuple[Line, ...]:
    """One line that costs ``total``."""
    return (Line(line=1, product_id="lamp", name="Lamp", quantity=1, unit_price=total, total=total),)


def placing(total: int = 100, token: str | None = "tok_visa") -> PlaceOrder:
    """The message that creates order ``o``."""
    return PlaceOrder("o", "A-1", "ada", "EUR", lines(total), CONTACTS, token=token)


def payment(status: str, reference: str = "o-p1", amount: int = 100) -> PaymentState:
    """The payment service's word on one payment."""
    code = "card_declined" if status == "declined" else None
    return PaymentState(status, f"pay-{reference}", code, amount)  # type: ignore[arg-type]


def refund(status: str, reference: str = "o-f1", amount: int = 100) -> RefundState:
    """The payment service's word on one refund."""
    return RefundState(reference, f"re-{reference}", amount, status)  # type: ignore[arg-type]


class Story:
    """One order and what has been decided about it so far."""

    def __init__(self, message: PlaceOrder | None = None, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.now = MIDNIGHT
        self.decision: Decision = decide(None, message or placing(), self.now, self.policy)
        self.version = 0
        self.calls_before: tuple[OpenCall, ...] = ()

    @property
    def state(self) -> State:
        return self.decision.state

    @property
    def order(self) -> Order:
        return self.decision.state.order

    def when(self, message: Message, *, after_s: float = 1) -> Story:
        """A message comes ``after_s`` seconds after the one before."""
        self.now += timedelta(seconds=after_s)
        self.version, self.calls_before = self.order.version, self.state.calls
        self.decision = decide(self.state, message, self.now, self.policy)
        return self

    def answered(self, kind: CallKind, answer: Answer, *, subject: str | None = None, after_s: float = 1) -> Story:
        """The open call of this kind is answered."""
        return self.when(Answered(self.call(kind, subject).call_id, answer), after_s=after_s)

    def call(self, kind: CallKind, subject: str | None = None) -> OpenCall:
        """The one open call of this kind (about ``subject``)."""
        [found] = [c for c in self.state.calls if c.kind is kind and subject in (None, c.subject)]
        return found

    def call_of_before(self, kind: CallKind) -> OpenCall:
        """The call of this kind that was open before the last message."""
        [found] = [c for c in self.calls_before if c.kind is kind]
        return found

    def new_call(self, kind: CallKind) -> Call:
        """The call of this kind that the last decision owed."""
        [found] = [c for c in self.decision.calls if c.kind is kind]
        return found

    def attempt(self, number: int = 1) -> Attempt:
        return self.order.payment.attempts[number - 1]

    def refund(self, number: int = 1) -> Refund:
        return self.order.refunds[number - 1]

    def outcome(self) -> Outcome:
        """The answer to the command of the last decision, as the order stands."""
        assert self.decision.asked is not None
        return outcome(self.decision.asked, self.order)

    # --- then ---

    def then(
        self,
        status: Status,
        stock: Stock,
        money: PaymentFacet,
        *,
        events: tuple[Event, ...] = (),
        calls: tuple[CallKind, ...] = (),
        ended: dict[CallKind, End] | None = None,
        attention: str | None = None,
    ) -> Story:
        """The last decision did exactly this, in exactly one new version."""
        order = self.order
        assert (order.status, order.stock, order.payment.status) == (status, stock, money)
        assert self.decision.events == events
        assert tuple(c.kind for c in self.decision.calls) == calls
        assert self._ended() == (ended or {})
        assert (order.attention.code if order.attention else None) == attention
        assert order.version == self.version + 1
        assert self.decision.change is not None
        return self

    def then_unseen(self, ended: dict[CallKind, End] | None = None) -> Story:
        """The last decision changed nothing that a client can see, and only these calls."""
        assert self.decision.change is None
        assert (self.decision.events, self.decision.calls) == ((), ())
        assert self.order.version == self.version
        assert self._ended() == (ended or {})
        return self

    def then_nothing(self) -> Story:
        """The last decision wrote nothing at all."""
        self.then_unseen()
        assert not self.decision.writes
        return self

    def refuses(self, message: Message, refusal: type[Refusal], **extra: Any) -> Story:
        """This message is refused; the order stays as it is."""
        with pytest.raises(refusal) as caught:
            decide(self.state, message, self.now, self.policy)
        for name, value in extra.items():
            assert caught.value.extra[name] == value
        return self

    def _ended(self) -> dict[CallKind, End]:
        kinds = {c.call_id: c.kind for c in (*self.calls_before, *self.state.calls)}
        ended = [(kinds[c.call_id], c.end) for c in self.decision.closings]
        assert len(ended) == len(dict(ended)), "two calls of one kind ended: look at decision.closings"
        return dict(ended)


# --- givens: how an order got there ---


def placed(total: int = 100, token: str | None = "tok_visa", **policy: float) -> Story:
    """Pending, stock asked for."""
    return Story(placing(total, token), Policy(**policy))


def reserved(total: int = 100, token: str | None = "tok_visa", **policy: float) -> Story:
    """Pending and public, stock held, cart cleared."""
    story = placed(total, token, **policy).answered(CallKind.RESERVE, Reserved())
    return story.answered(CallKind.CLEAR_CART, CartCleared())


def paying(**policy: float) -> Story:
    """The charge is owed."""
    return reserved(**policy).when(Pay())


def unknown(**policy: float) -> Story:
    """The charge was sent and nobody knows what became of it."""
    return paying(**policy).answered(CallKind.CHARGE, SILENCE)


def confirmed(**policy: float) -> Story:
    """Paid."""
    return paying(**policy).answered(CallKind.CHARGE, payment("succeeded"))


def processing() -> Story:
    return confirmed().when(SetStatus(Status.PROCESSING))


def shipped() -> Story:
    """On its way; the inventory knows."""
    return processing().when(SetStatus(Status.SHIPPED)).answered(CallKind.COMMIT, StockCommitted())


def delivered() -> Story:
    return shipped().when(SetStatus(Status.DELIVERED))


def declined(**policy: float) -> Story:
    """Payment failed; the release of the stock is owed."""
    return paying(**policy).answered(CallKind.CHARGE, payment("declined"))


def failed(**policy: float) -> Story:
    """Payment failed; the stock went back."""
    return declined(**policy).answered(CallKind.RELEASE, Released())


def paying_again(**policy: float) -> Story:
    """Payment failed, paid again: the stock is asked for anew, the closed attempt is being read."""
    return failed(**policy).when(Pay("tok_other"))


def cancelled_after_payment() -> Story:
    """Cancelled, stock back, the refund of everything is owed."""
    return confirmed().when(Cancel()).answered(CallKind.RELEASE, Released())


def cancelled_while_unknown() -> Story:
    """Cancelled, stock back, the void of an unanswered charge is owed."""
    return unknown().when(Cancel()).answered(CallKind.RELEASE, Released())
