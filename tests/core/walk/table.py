"""The table "Answers, complete" of RULES.md as data, and the question whether the rules answer so.

A verdict is the HTTP status right after the decision, with ``=`` where nothing was written, or the code of a refusal.
Where the table has two words for a cell, the condition beside it says when: ``part`` and ``rest`` are what would be
refunded, ``left`` what may still be, ``flying`` what is under way back, ``free`` stands for a total of 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from order_service.core.decide import decide
from order_service.core.errors import Refusal
from order_service.core.facets import allowed_by_put
from order_service.core.lifecycle import Status
from order_service.core.messages import Asked, GiveUpCall, Message, Pay, RetryCall
from order_service.core.model import Order, Policy, State
from order_service.core.outcome import outcome

from .facets import refunds_to_mend
from .menu import COMMANDS, PART, TOKEN, may_help, waits_for_stock
from .normal import NOW
from .steps import must

COLUMNS = (
    "pay",
    "pay other",
    "cancel",
    "put processing",
    "put shipped",
    "put delivered",
    "put cancelled",
    "put refunded",
    "refund part",
    "refund rest",
)
UM, REC, CI = "unlawful-move", "refund-exceeds-captured", "cancel-instead"
IN_PROGRESS, NOT_PAYABLE, NOT_CANCELLABLE = "payment-in-progress", "not-payable", "not-cancellable"

_UNPAID = ("200", UM, UM, UM, "200", UM, REC, REC)
_BACK = ("202 if part <= left", REC)
ROWS: dict[str, tuple[str | tuple[str, ...], ...]] = {
    "pending, reserving": ("stock-not-reserved", "stock-not-reserved", *_UNPAID),
    "pending, reserved": ("202", "202", *_UNPAID),
    "payment_pending": ("202=", IN_PROGRESS, *_UNPAID),
    "payment_failed, waiting": ("202=", IN_PROGRESS, *_UNPAID),
    "payment_failed, else": ("202", "202", *_UNPAID),
    "confirmed": (
        "200=", "200=", "200", "200", UM, UM, "200", UM, (f"{REC} if free", f"{CI} if part == left", "202"),
        (f"{REC} if free", CI),
    ),
    "processing": (
        "200=", "200=", "200", "200=", "200", UM, "200", UM, (f"{REC} if free", f"{CI} if part == left", "202"),
        (f"{REC} if free", CI),
    ),
    "shipped": (
        "200=", "200=", NOT_CANCELLABLE, UM, "200=", "200", UM, ("202 if left", "202= if flying", REC), _BACK,
        ("202 if left", REC),
    ),
    "delivered": (
        "200=", "200=", NOT_CANCELLABLE, UM, UM, "200=", UM, ("202 if left", "202= if flying", REC), _BACK,
        ("202 if left", REC),
    ),
    "cancelled, in flight": (NOT_PAYABLE, NOT_PAYABLE, "200=", UM, UM, UM, "200=", "202=", REC, REC),
    "cancelled, money left": (NOT_PAYABLE, NOT_PAYABLE, "200=", UM, UM, UM, "200=", "202", "202", "202"),
    "cancelled, nothing": (NOT_PAYABLE, NOT_PAYABLE, "200=", UM, UM, UM, "200=", UM, REC, REC),
    "refunded, was cancelled": (NOT_PAYABLE, NOT_PAYABLE, "200=", UM, UM, UM, "200=", "200=", REC, REC),
    "refunded, after shipping": (NOT_PAYABLE, NOT_PAYABLE, NOT_CANCELLABLE, UM, UM, UM, UM, "200=", REC, REC),
}  # fmt: skip
PAYMENT_OWNED = ("pending", "payment_pending", "payment_failed", "confirmed")
"""``PUT`` of these: 200 = if it is the status already, else unlawful."""

_MESSAGES: dict[str, Message] = {move.name: move.message for move in COMMANDS} | {
    "pay": Pay(TOKEN),
    "pay other": Pay("another token"),
}


def row_of(order: Order) -> str:
    """The row of the table that this order belongs to."""
    status = str(order.status)
    match order.status:
        case Status.PENDING:
            return f"pending, {order.stock}"
        case Status.PAYMENT_FAILED:
            return "payment_failed, waiting" if waits_for_stock(order) else "payment_failed, else"
        case Status.CANCELLED:
            voiding = any(a.status in ("voiding", "void_unknown") for a in order.payment.attempts)
            if voiding or _flying(order):
                return "cancelled, in flight"
            return "cancelled, money left" if _left(order) else "cancelled, nothing"
        case Status.REFUNDED:
            return "refunded, was cancelled" if order.cancellation else "refunded, after shipping"
        case _:
            return status


def _own(order: Order, *statuses: str) -> int:
    return sum(r.amount for r in order.refunds if not r.surplus and r.status in statuses)


def _flying(order: Order) -> int:
    return _own(order, "requested", "pending")


def _left(order: Order) -> int:
    promised = _own(order, "requested", "pending", "succeeded", "settled_outside")
    return order.payment.captured - promised


def expected(order: Order, column: str) -> str:
    """What the table answers."""
    cell = ROWS[row_of(order)][COLUMNS.index(column)]
    for words in (cell,) if isinstance(cell, str) else cell:
        verdict, _, condition = words.partition(" if ")
        if not condition or _holds(condition, order):
            return verdict
    raise AssertionError(f"no answer in {column} of {row_of(order)}")


def _holds(condition: str, order: Order) -> bool:
    left = _left(order)
    return {
        "free": order.total == 0,
        "left": left > 0,
        "flying": _flying(order) > 0,
        "part == left": left == PART,
        "part <= left": left >= PART,
    }[condition]


def verdict(state: State, message: Message, policy: Policy) -> str:
    """What the rules answer, right after the decision."""
    try:
        decision = decide(state, message, NOW, policy)
    except Refusal as refusal:
        return refusal.code
    asked = decision.asked
    must(asked is not None, "a command without an answer")
    assert asked is not None
    quiet = not decision.writes
    must(quiet == (decision.state == state), "quiet is unchanged")
    must(asked.unchanged == quiet or asked.kind == "retry", "unchanged means that nothing was written")
    return f"{outcome(asked, decision.state.order).status}{'=' if quiet else ''}"


def check_answers(state: State, policy: Policy) -> Iterator[tuple[str, str, str]]:
    """Every answer of the table in this state; yields the cells that were met."""
    order = state.order
    row = row_of(order)
    answers = {column: verdict(state, _MESSAGES[column], policy) for column in COLUMNS}
    for column, got in answers.items():
        wanted = expected(order, column)
        must(got == wanted, f"{row}: {column} is answered {got}, not {wanted}")
        yield row, column, got
    for target in PAYMENT_OWNED:
        got = answers[f"put {target}"] = verdict(state, _MESSAGES[f"put {target}"], policy)
        wanted = "200=" if order.status == target else UM
        must(got == wanted, f"{row}: put {target} is answered {got}, not {wanted}")
    _check_allowed(order, {s for s in Status if answers[f"put {s}"].startswith("2")} - {order.status})
    yield from _check_calls(state, policy)
    _check_outcomes(order)


def _check_allowed(order: Order, fine: set[Status]) -> None:
    """What an unlawful move names as allowed is what would be accepted."""
    named = set(allowed_by_put(order))
    same = {Status.CANCELLED} if order.cancellation else set()
    waiting = {Status.REFUNDED} if row_of(order) == "cancelled, in flight" else set()
    must(named <= fine, f"allowed names {named}, accepted are {fine}")
    must(fine <= named | same | waiting, f"accepted are {fine}, allowed names only {named}")


def _check_calls(state: State, policy: Policy) -> Iterator[tuple[str, str, str]]:
    calls = {c.call_id: c for c in state.calls}
    for message in (RetryCall("nowhere", known=False), GiveUpCall("nowhere", "note", known=False)):
        must(verdict(state, message, policy) == "call-not-found", "an unknown call")
    mend = {r.call_id for r in refunds_to_mend(state.order)}
    ids = {*calls, *may_help(state), *(r.call_id for r in state.order.refunds)}
    for call_id in ids:
        call = calls.get(call_id)
        parked = call is not None and call.parked is not None
        waits = parked or (call is None and call_id in mend)
        wanted = "202" if waits else "call-not-parked"
        got = verdict(state, RetryCall(call_id), policy)
        must(got == wanted, f"retry {call_id} is answered {got}, not {wanted}")
        yield "calls", "retry", got
        kind = str(call.kind) if call is not None else "failed refund"
        for note in ("a note", None):
            wanted = _give_up(state, kind, call.subject if call else call_id, note) if waits else "call-not-parked"
            got = verdict(state, GiveUpCall(call_id, note), policy)
            must(got == wanted, f"give up {call_id} is answered {got}, not {wanted}")
            yield "calls", f"give up {kind}" if waits else "give up", got


def _give_up(state: State, kind: str, subject: str, note: str | None) -> str:
    order = state.order
    attempt = next((a for a in order.payment.attempts if a.reference == subject), None)
    stopping = attempt is not None and attempt.status in ("voiding", "void_unknown")
    if kind in ("void", "release") or (kind == "read_payment" and stopping):
        return "not-possible"
    row = next((r for r in order.refunds if subject in (r.reference, r.call_id)), None)
    live = order.status not in (Status.CANCELLED, Status.REFUNDED)
    acknowledged = kind == "failed refund" and row is not None and live and not row.surplus
    if kind in ("refund", "read_refund", "failed refund") and not acknowledged and not note:
        return "validation-failed"
    return "200"


def _check_outcomes(order: Order) -> None:
    """The answers that are found later, by the attempt or refund that a command started."""
    placed = outcome(Asked("place"), order)
    interim = order.status is Status.PENDING and order.newest_reservation.status == "reserving"
    sold_out = order.cancellation is not None and order.cancellation.code == "out-of-stock"
    must(placed.status == (202 if interim else 409 if sold_out else 201), "the answer to the creation")
    must(placed.settled == (placed.status != 202), "202 is interim")
    for attempt in order.payment.attempts:
        got = outcome(Asked("pay", attempt.attempt), order)
        code = got.refusal.code if got.refusal else str(got.status)
        must(code in _paid(order, attempt.attempt, str(attempt.status)), f"pay {attempt.attempt} is answered {code}")
        must(got.settled == (got.status != 202), "202 is interim")
    for row in order.refunds:
        got = outcome(Asked("refund", row.refund), order)
        flying = row.status in ("requested", "pending")
        must(got.status == (202 if flying else 201), "the answer to a refund")


def _paid(order: Order, number: int, status: str) -> tuple[str, ...]:
    if order.cancellation is not None and order.cancellation.open_attempt == number:
        return (NOT_PAYABLE,)
    if status == "closed":
        return ("out-of-stock", "stock-not-reserved")
    return {"captured": ("200",), "declined": ("payment-declined",), "voided": ("payment-declined",)}.get(
        status, ("202",)
    )


def all_cells() -> set[tuple[str, str, str]]:
    """Every row, column and verdict that the table names."""
    found = set()
    for row, cells in ROWS.items():
        for column, cell in zip(COLUMNS, cells, strict=True):
            for words in (cell,) if isinstance(cell, str) else cell:
                found.add((row, column, words.partition(" if ")[0]))
    return found
