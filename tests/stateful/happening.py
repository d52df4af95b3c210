"""What happens to an order by itself: the partners' answers, in every order in which they may arrive.

The partners are the sandbox: they keep the contracts, and what they answer is told by the token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.stateful.world import UNDER_VOID, Call, Refund, World

SILENT = "tok_timeout_after"
REFUSED = "tok_refused"
_CHARGED = {
    "tok_declined": "declined",
    "tok_processing": "processing",
    "tok_3ds": "requires_action",
    "tok_requires_capture": "requires_capture",
}
_REFUNDED = {"tok_refund_fails": "failed", "tok_refund_pending": "pending", "tok_refund_fails_late": "pending"}
_WAITS = ("processing", "requires_action", "requires_capture")


def possible(worlds: Iterable[World]) -> set[World]:
    """These worlds, and all that may have become of them meanwhile."""
    found: set[World] = set()
    new = set(worlds)
    while new:
        found |= new
        new = {after for world in new for after in happens(world)} - found
    return found


def happens(world: World) -> Iterator[World]:
    """What may happen next, each alone."""
    for call in world.calls:
        yield from _HAPPENS[call.kind](world, call.number, call)
    for number, attempt in enumerate(world.attempts, 1):
        if attempt.partner == "processing":
            yield world.attempt(number, partner="succeeded")


# --- stock ---


def _reserve(world: World, number: int, call: Call) -> Iterator[World]:
    rest = world._replace(calls=world.calls - {call})
    if rest.status == "payment_failed":
        yield charge_when_read(
            rest.hold("reserved").attempt(len(rest.attempts), status="pending"), status="payment_pending"
        )
        if world.scarce:
            yield rest.hold("refused").attempt(len(rest.attempts), status="closed").next()
        return
    if world.scarce:
        refused = rest.hold("refused")._replace(cancelled="out-of-stock")
        yield refused.next(status="cancelled")
    held = rest.hold("reserved").next("created")
    # Nothing to pay: confirmed in the same version.
    yield (
        held
        if world.total
        else held._replace(
            status="confirmed", history=(*held.history, "confirmed"), events=("created", "status_changed")
        )
    )


def release(world: World) -> World:
    """The goods go back; a reserve that was not answered is replaced."""
    number = len(world.holds)
    return world.without("reserve", number).hold("releasing").owing("release", number)


def reserve_anew(world: World) -> World:
    """A new reservation is asked for."""
    return world._replace(holds=(*world.holds, "reserving")).owing("reserve", len(world.holds) + 1)


def _release(world: World, number: int, call: Call) -> Iterator[World]:
    rest = world._replace(calls=world.calls - {call}).hold("released")
    waits = bool(rest.attempts) and rest.attempts[-1].status == "waiting_stock"
    yield (reserve_anew(rest) if waits and rest.status == "payment_failed" else rest).next()


def _commit(world: World, number: int, call: Call) -> Iterator[World]:
    yield world._replace(calls=world.calls - {call}).hold("committed").next()


# --- payment ---


def charge_when_read(world: World, status: str | None = None) -> World:
    """The next version, in which the newest attempt is charged if no closed one is still to be read."""
    if world.status != "payment_pending" and status != "payment_pending":
        return world.next()
    number = len(world.attempts)
    waits = any(call.kind == "check" for call in world.calls) or world.attempts[-1].status != "pending"
    return (world if waits else world.owing("charge", number)).next(status=status)


def _charge(world: World, number: int, call: Call) -> Iterator[World]:
    attempt = world.attempts[number - 1]
    rest = world._replace(calls=world.calls - {call})
    if not call.sent:
        made = _CHARGED.get(attempt.token, "succeeded")
        again = rest._replace(calls=rest.calls | {call._replace(sent=True)})
        yield again if attempt.token == REFUSED else again.attempt(number, partner=made)
    elif attempt.token == REFUSED:
        yield rest.attempt(number, status="unknown")._replace(parked=number).next()
    elif attempt.token == SILENT and attempt.status == "pending":
        yield world.attempt(number, status="unknown").next()
    else:
        yield told(rest, number)


def _stray(world: World, number: int, call: Call) -> Iterator[World]:
    """A charge that was replaced by a void, and may still arrive before it."""
    made = _CHARGED.get(world.attempts[number - 1].token, "succeeded")
    yield world._replace(calls=world.calls - {call}).attempt(number, partner=made)


def told(world: World, number: int) -> World:
    """The payment service has told what it made of an open attempt."""
    attempt = world.attempts[number - 1]
    if attempt.partner == "succeeded":
        return _captured(world, number)
    if attempt.partner in ("declined", "voided"):
        return _closed(world, number, attempt.partner)
    state = "voiding" if attempt.status in UNDER_VOID else attempt.partner
    return world.attempt(number, status=state).owing("read", number).next()


def _captured(world: World, number: int) -> World:
    paid = world.without("charge read void", number).attempt(number, status="captured")._replace(captured=world.total)
    if paid.status == "payment_pending":
        return paid.next("payment_successful", status="confirmed")
    return start_refund(paid, number, paid.refundable).next()


def _closed(world: World, number: int, state: str) -> World:
    closed = world.without("charge read void", number).attempt(number, status=state)
    if closed.status == "payment_pending":
        return release(closed).next("payment_failed", status="payment_failed")
    return closed.next()


def _read(world: World, number: int, call: Call) -> Iterator[World]:
    if world.attempts[number - 1].partner not in _WAITS:
        yield told(world._replace(calls=world.calls - {call}), number)


def _check(world: World, number: int, call: Call) -> Iterator[World]:
    """A closed attempt is read once more before the next charge; what it took after all is surplus."""
    rest = world._replace(calls=world.calls - {call})
    surplus = world.attempts[number - 1].partner == "succeeded"
    if surplus:
        rest = start_refund(rest.attempt(number, surplus=True), number, rest.total, surplus=True)
    after = charge_when_read(rest)
    # An answer that changes nothing and owes nothing new is no version.
    yield after if surplus or after.calls != rest.calls else rest


def void(world: World, number: int) -> World:
    """An open attempt is stopped; its charge is not sent again."""
    charge = {call for call in world.calls if call == Call("charge", number)}
    state = "void_unknown" if world.attempts[number - 1].status == "unknown" else "voiding"
    stopped = world.without("charge read", number).attempt(number, status=state).owing("void", number)
    if charge and world.attempts[number - 1].token != REFUSED:
        stopped = stopped.owing("stray", number)
    return stopped._replace(parked=None) if world.parked == number else stopped


def _void(world: World, number: int, call: Call) -> Iterator[World]:
    rest = world._replace(calls=world.calls - {call, Call("stray", number)})
    if world.attempts[number - 1].partner in ("none", "requires_action", "requires_capture"):
        rest = rest.attempt(number, partner="voided")
    yield told(rest, number)


# --- refunds ---


def start_refund(world: World, attempt: int, amount: int, *, surplus: bool = False) -> World:
    """A refund with a key of its own; the failed ones before it wait for nobody any more."""
    before = tuple(
        r._replace(followed=True) if r.status == "failed" and r.surplus == surplus else r for r in world.refunds
    )
    made = Refund(attempt, amount, surplus=surplus)
    return world._replace(refunds=(*before, made)).owing("refund", len(before) + 1)


def _refund(world: World, number: int, call: Call) -> Iterator[World]:
    refund = world.refunds[number - 1]
    rest = world._replace(calls=world.calls - {call})
    state = _REFUNDED.get(world.attempts[refund.attempt - 1].token, "succeeded")
    if state == "pending":
        yield rest.refund(number, status=state).owing("read_refund", number).next()
    else:
        yield _ended(rest, number, state)


def _read_refund(world: World, number: int, call: Call) -> Iterator[World]:
    token = world.attempts[world.refunds[number - 1].attempt - 1].token
    state = "failed" if token == "tok_refund_fails_late" else "succeeded"
    yield _ended(world._replace(calls=world.calls - {call}), number, state)


def _ended(world: World, number: int, state: str) -> World:
    refund = world.refunds[number - 1]
    ended = world.refund(number, status=state)
    if state == "failed":
        return ended.next()
    if refund.surplus:
        return ended.next("refunded")
    ended = ended._replace(refunded=ended.refunded + refund.amount)
    whole = ended.refunded == ended.captured and ended.status in ("cancelled", "shipped", "delivered")
    return ended.next("refunded", status="refunded" if whole else None)


_HAPPENS = {
    "reserve": _reserve,
    "release": _release,
    "commit": _commit,
    "charge": _charge,
    "stray": _stray,
    "read": _read,
    "check": _check,
    "void": _void,
    "refund": _refund,
    "read_refund": _read_refund,
}
