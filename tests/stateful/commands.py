"""What a client asks, and every answer that RULES allows: the table of answers, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.stateful.happening import charge_when_read, release, reserve_anew, start_refund, void
from tests.stateful.world import BEFORE_SHIPPING, OPEN, Attempt, World


class Asked(NamedTuple):
    """What an Idempotency-Key is bound to: the attempt or refund that a request started or met."""

    kind: str
    number: int = 0


DONE = Asked("done")


class Decided(NamedTuple):
    """What a command comes to in one world.

    ``refused``: status and code, and the world stays. Otherwise it is answered as what it ``asked`` stands: at once,
    or, where it ``waits``, at any moment from then on.
    """

    world: World
    asked: Asked | None = None
    waits: bool = False
    refused: tuple[int, str] | None = None


Command = Callable[[World], Iterator[Decided]]


def settled(asked: Asked, world: World) -> tuple[int, str | None]:
    """Status and code of what was asked, as far as the order tells by now; 202 as long as it does not."""
    match asked.kind:
        case "place" if world.cancelled == "out-of-stock":
            return 409, "out-of-stock"
        case "place":
            return (202 if world.status == "pending" and world.stock == "reserving" else 201), None
        case "pay":
            return _paid(world, asked.number)
        case "refund":
            return (202 if world.refunds[asked.number - 1].status in ("requested", "pending") else 201), None
        case "put_refunded":
            failed = world.waits_for is not None and world.waits_for[0] == "refund-failed"
            waits = world.status != "refunded" and (world.voiding or world.under_way or failed)
            return (202 if waits else 200), None
        case "retry":
            return 202, None
    return 200, None


def _paid(world: World, number: int) -> tuple[int, str | None]:
    if world.overtaken == number:
        return 409, "not-payable"
    match world.attempts[number - 1].status:
        case "captured":
            return 200, None
        case "declined" | "voided":
            return 402, "payment-declined"
        case "closed":
            return 409, "out-of-stock"
    return 202, None


def _refused(world: World, code: str, status: int = 409) -> Iterator[Decided]:
    yield Decided(world, refused=(status, code))


def _same(world: World) -> Iterator[Decided]:
    yield Decided(world, DONE)


# --- pay ---


def pay(token: str | None) -> Command:
    """POST payment."""

    def command(world: World) -> Iterator[Decided]:
        newest = world.attempts[-1] if world.attempts else None
        in_progress = newest is not None and newest.status in OPEN | {"waiting_stock"}
        if world.status in ("cancelled", "refunded"):
            yield from _refused(world, "not-payable")
        elif world.status not in ("pending", "payment_pending", "payment_failed"):
            yield from _same(world)
        elif newest is not None and in_progress:
            if token in (None, newest.token):
                yield Decided(world, Asked("pay", len(world.attempts)))
            if token != newest.token and (token is not None or world.token != newest.token):
                yield from _refused(world, "payment-in-progress")
        elif world.status == "pending" and world.stock != "reserved":
            yield from _refused(world, "stock-not-reserved")
        elif token is None and world.token is None:
            yield from _refused(world, "validation-failed", 422)
        else:
            started = _attempt(world, token or world.token or "")
            yield Decided(started, Asked("pay", len(started.attempts)), waits=True)

    return command


def _attempt(world: World, token: str) -> World:
    number = len(world.attempts) + 1
    started = world._replace(attempts=(*world.attempts, Attempt(token)))
    for closed, attempt in enumerate(world.attempts, 1):
        if attempt.status in ("declined", "voided") and not attempt.read_again:
            started = started.attempt(closed, read_again=True).owing("check", closed)
    if world.stock == "reserved":
        return charge_when_read(started.attempt(number, status="pending"), status="payment_pending")
    return (started if world.stock == "releasing" else reserve_anew(started)).next()


# --- cancel ---


def cancel(world: World, code: str = "not-cancellable") -> Iterator[Decided]:
    """POST cancel, and PUT cancelled, which refuses with a code of its own."""
    if world.cancelled is not None:
        yield from _same(world)
    elif world.status not in BEFORE_SHIPPING:
        yield from _refused(world, code)
    else:
        yield Decided(_cancelled(world), DONE)


def _cancelled(world: World) -> World:
    number = len(world.attempts)
    newest = world.attempts[-1] if world.attempts else None
    overtaken = number if newest is not None and newest.status in OPEN | {"waiting_stock"} else None
    after = world.without("check")._replace(cancelled="requested", overtaken=overtaken)
    if world.stock in ("reserving", "reserved"):
        after = release(after)
    if newest is not None and newest.status == "waiting_stock":
        after = after.attempt(number, status="closed")
    elif newest is not None and newest.status in OPEN:
        after = void(after, number)
    if after.refundable > 0:
        after = start_refund(after, _captured(after), after.refundable)
    return after.next("cancelled", status="cancelled")


def _captured(world: World) -> int:
    return next(n for n, attempt in enumerate(world.attempts, 1) if attempt.status == "captured")


# --- PUT status ---

_BY_HAND = {"processing": "confirmed", "shipped": "processing", "delivered": "shipped"}
_UNLAWFUL = "unlawful-move"


def put(status: str, *, shipment: bool = False) -> Command:
    """PUT status."""

    def command(world: World) -> Iterator[Decided]:
        if status == "cancelled":
            yield from cancel(world, _UNLAWFUL)
        elif status == "refunded":
            yield from _put_refunded(world)
        elif status == world.status:
            yield from _same(world)
        elif _BY_HAND.get(status) == world.status:
            yield Decided(_moved(world, status, shipment), DONE)
        else:
            yield from _refused(world, _UNLAWFUL)

    return command


def _moved(world: World, status: str, shipment: bool) -> World:
    if status == "processing":
        return world.next(status=status)
    if status == "shipped":
        world = world.hold("committing").owing("commit", len(world.holds))._replace(shipment=shipment)
    return world.next(status, status=status)


def _put_refunded(world: World) -> Iterator[Decided]:
    met = Asked("put_refunded", len(world.refunds))
    if world.status == "refunded":
        yield from _same(world)
    elif world.status in ("shipped", "delivered"):
        if world.refundable > 0:
            yield from _refund_rest(world)
        elif world.under_way:
            yield Decided(world, met)
        else:
            yield from _refused(world, "refund-exceeds-captured")
    elif world.status == "cancelled" and (world.voiding or world.under_way):
        yield Decided(world, met)
    elif world.status == "cancelled" and world.refundable > 0:
        yield from _refund_rest(world)
    else:
        yield from _refused(world, _UNLAWFUL)


def _refund_rest(world: World) -> Iterator[Decided]:
    started = start_refund(world, _captured(world), world.refundable).next()
    yield Decided(started, Asked("put_refunded", len(started.refunds)), waits=True)


# --- refunds ---


def bound(world: World) -> int:
    """Minor units that a refund may ask for; of a dead order none while a refund is under way."""
    return 0 if world.status == "cancelled" and world.under_way else world.refundable


def refund(amount: int | None) -> Command:
    """POST refunds: this much, or all that is left."""

    def command(world: World) -> Iterator[Decided]:
        wanted = bound(world) if amount is None else amount
        if not 0 < wanted <= bound(world):
            yield from _refused(world, "refund-exceeds-captured")
        elif world.status in ("confirmed", "processing") and wanted == world.refundable:
            yield from _refused(world, "cancel-instead")
        else:
            started = start_refund(world, _captured(world), wanted).next()
            yield Decided(started, Asked("refund", len(started.refunds)), waits=True)

    return command


# --- what waits for a person ---


def retry(world: World) -> Iterator[Decided]:
    """POST retry of the call that the order waits for; a world that waits for nobody has no such call."""
    if world.waits_for is None:
        return
    code, number = world.waits_for
    if code == "call-refused":
        yield Decided(world._replace(parked=None).owing("charge", number).next(), Asked("retry"))
        return
    failed = world.refunds[number - 1]
    amount = world.refundable if world.status == "cancelled" else min(failed.amount, world.refundable)
    yield Decided(start_refund(world, _captured(world), amount).next(), Asked("retry"))


def give_up(note: bool) -> Command:
    """POST give-up of the call that the order waits for."""

    def command(world: World) -> Iterator[Decided]:
        if world.waits_for is None:
            return
        code, number = world.waits_for
        if code == "call-refused":
            yield Decided(void(world, number).next(), DONE)
        elif world.status not in ("cancelled", "refunded"):
            yield Decided(world.refund(number, status="acknowledged").next(), DONE)
        elif not note:
            yield from _refused(world, "validation-failed", 422)
        else:
            outside = world.refund(number, status="settled_outside", amount=world.refundable)
            yield Decided(outside.next(), DONE)

    return command


def read(world: World) -> Iterator[Decided]:
    """GET the order."""
    yield Decided(world, DONE)


def repeated(asked: Asked) -> Command:
    """The same request once more, under its key: told how what it started stands, and nothing is started."""
    return lambda world: iter([Decided(world, asked)])


def if_match(version: int, command: Command) -> Command:
    """The command of a client that has seen this version."""

    def guarded(world: World) -> Iterator[Decided]:
        if world.version == version:
            yield from command(world)
        else:
            yield from _refused(world, "stale-version", 412)

    return guarded


def allowed_by_put(world: World) -> tuple[set[str], set[str]]:
    """The statuses other than its own that PUT would bring about, and those that it would accept."""
    others = {"processing", "shipped", "delivered", "cancelled", "refunded"} - {world.status}
    decided = {status: next(put(status)(world)) for status in others}
    accepted = {status for status, found in decided.items() if not found.refused}
    return {status for status in accepted if decided[status].world != world}, accepted
