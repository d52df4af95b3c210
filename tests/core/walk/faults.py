"""Planted faults of the rules: what a hurried change might break. The walk must find every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from order_service.core import cancellation, facets, fulfilment, parked, payment, refund
from order_service.core import decide as door
from order_service.core import draft as drafting
from order_service.core.answers import CallKind
from order_service.core.draft import Draft
from order_service.core.lifecycle import Status
from order_service.core.model import AttemptStatus, Order

from . import broken
from .broken import Break
from .rules import Bound

PLAIN = Bound("plain", attempts=1, refunds=1, copies=0, odd=0)
PARTS = Bound("parts", attempts=1, refunds=2, copies=0, odd=0)
COPIES = Bound("copies", attempts=1, refunds=1, copies=1, odd=0)
AGAIN = Bound("again", attempts=2, refunds=0, copies=0, odd=0)
ODD = Bound("odd", attempts=1, refunds=2, copies=0, odd=1)
ODD_AGAIN = Bound("odd again", attempts=2, refunds=0, copies=0, odd=1)
FREE = Bound("free", total=0, attempts=1, refunds=1, copies=0, odd=0)
HOLD = Bound("hold", attempts=2, refunds=0, copies=0, odd=0, retry_hold_s=300)
BOUNDS = (PLAIN, PARTS, COPIES, AGAIN, ODD, ODD_AGAIN, FREE, HOLD)
"""Small ones: the rules as they are pass each of them in seconds, and every fault shows in one."""


class Fault(Struct, frozen=True):
    """``patches``: where a rule lives, its name there, and what breaks it."""

    name: str
    bound: Bound
    patches: tuple[tuple[Any, str, Break], ...]


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The rules with this fault in them, for the time of one walk."""
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in fault.patches]
    try:
        for owner, name, make in fault.patches:
            setattr(owner, name, make(owner.__dict__[name]))
        yield
    finally:
        for owner, name, was in reversed(before):
            setattr(owner, name, was)


def _one(name: str, bound: Bound, owner: Any, rule: str, make: Break) -> Fault:
    return Fault(name, bound, ((owner, rule, make),))


def _answer(name: str, bound: Bound, kind: CallKind, make: Break) -> Fault:
    return _one(name, bound, door, "_ON_ANSWER", broken.answering(kind, make))


MONEY = (
    _one("the bound of a refund ignores what is under way", PARTS, Order, "refundable", broken.bound_without_flying),
    _one("what was settled outside is not counted", ODD, Order, "settled_outside", broken.zero),
    _one("a failed refund is sent again with its old key", PARTS, parked, "start_refund", broken.the_old_key),
    _one("a failed refund needs nobody", PLAIN, facets, "refunds_to_mend", broken.nothing),
    _one("everything goes back before shipping", PLAIN, refund, "refund", broken.refund_everything_before_shipping),
    _one("a refund of all leaves the order as it was", PLAIN, refund, "_ENDS_REFUNDED", lambda _: ()),
    _one("a surplus counts as a payment", ODD, payment, "_surplus", broken.surplus_is_success),
    _one("a surplus is kept", ODD, payment, "_surplus", broken.never),
    _one("a capture after cancel is a success", PLAIN, payment, "_captured", broken.late_capture_is_success),
    _one("paying twice charges twice", AGAIN, payment, "pay", broken.pay_starts_another),
    _answer("no answer to a charge means declined", PLAIN, CallKind.CHARGE, broken.silence_is_a_no),
    _one("a void answered succeeded counts as voided", PLAIN, payment, "_open_attempt_is", broken.void_always_works),
    _one("a cancel forgets the refund", PLAIN, cancellation, "refund_rest", broken.never),
    _one("a cancel forgets the void", PLAIN, cancellation, "void_open_attempts", broken.never),
    _one(
        "a cancel voids only what is known to be unanswered",
        COPIES,
        cancellation,
        "void_open_attempts",
        broken.void_only_what_is_unknown,
    ),
    _one("a void does not end the charge", PLAIN, Draft, "drop", broken.keeping(CallKind.CHARGE)),
    _one(
        "a charge is repeated while it is processing",
        PLAIN,
        payment,
        "_still_open",
        broken.charge_again_while_processing,
    ),
    _one(
        "the deadline spares what is processing",
        PLAIN,
        payment,
        "on_tick",
        broken.deadline_spares(AttemptStatus.PROCESSING),
    ),
    _one("the deadline spares what is unknown", ODD, payment, "on_tick", broken.deadline_spares(AttemptStatus.UNKNOWN)),
    _one("unknown is told every time", PLAIN, payment, "_not_definite", broken.unknown_every_time),
    _one(
        "a closed attempt is not read before the next charge",
        AGAIN,
        payment,
        "_read",
        broken.no_reads_of(CallKind.CHECK_PAYMENT),
    ),
    _one("a closed attempt is not read a day later", PLAIN, payment, "_read", broken.no_reads_of(CallKind.LATE_CHECK)),
    _one("a cancel ends the late checks", PLAIN, cancellation, "cancel_order", broken.dropping_late_checks),
    _one("a void that cannot stop a charge counts as one", PLAIN, payment, "_still_open", broken.processing_is_voided),
    _one("giving up a charge does not void it", ODD, parked, "void", broken.closing_by_hand),
)  # fmt: skip

STOCK = (
    _one("a decline keeps the stock", PLAIN, payment, "release", broken.never),
    _one("a cancel forgets the release", PLAIN, cancellation, "release", broken.never),
    _one(
        "an unanswered reserve is dropped without a release",
        PLAIN,
        cancellation,
        "release",
        broken.forget_an_unanswered_reserve,
    ),
    _one("a release does not end the reserve", PLAIN, Draft, "drop", broken.keeping(CallKind.RESERVE)),
    _answer("no answer to a release means released", PLAIN, CallKind.RELEASE, broken.silence_is_released),
    _one("a new reserve does not wait for the older release", AGAIN, payment, "pay", broken.reserve_at_once),
    _one("a reservation id is used again", AGAIN, payment, "reserve", broken.same_reservation_id),
    _one("the charge goes out before the stock is back", AGAIN, payment, "reserve", broken.charge_before_stock),
    _one("an attempt is left waiting when the stock is gone", AGAIN, payment, "close_waiting_attempt", broken.never),
    Fault(
        "an attempt closed by a cancel is charged later",
        AGAIN,
        (
            (cancellation, "close_waiting_attempt", broken.never),
            (cancellation, "stock_released", broken.reserve_for_the_dead),
        ),
    ),
    _one("the hold outlives the payment", HOLD, Draft, "set", broken.keep_the_hold),
)  # fmt: skip

STATUS = (
    _one("a payment under way expires", PLAIN, cancellation, "on_tick", broken.payments_expire),
    Fault(
        "goods are shipped unpaid",
        PLAIN,
        (
            (fulfilment, "BY_HAND", lambda rows: rows | {Status.PROCESSING: Status.PAYMENT_PENDING}),
            (Draft, "move", broken.no_looking_at_the_table),
            (door, "check", broken.never),
        ),
    ),
    _one("something is told before order.created", PLAIN, Draft, "announce", broken.announce_always),
    _one("an order of total 0 says that it was paid", FREE, Draft, "announce", broken.free_is_paid),
    _one("a reserve given up is told as sold out", ODD, parked, "cancel_order", broken.given_up_is_sold_out),
    _one("a parked call needs nobody", ODD, drafting, "attention", broken.never),
)  # fmt: skip

FAULTS = (*MONEY, *STOCK, *STATUS)
