"""What must hold after every schedule: answers that the table allows, a lawful history, money and stock in balance.

Written from RULES.md; each claim yields a sentence where it does not hold.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from order_service.core.model import AttemptStatus, Order, RefundStatus, ReservationStatus
from order_service.requests import Reply
from order_service.verify.books import faults, newest_image
from tests.core.walk.table import expected
from tests.interleavings.actors import ZOMBIE, Actor
from tests.interleavings.books import Written
from tests.interleavings.schedule import Run
from tests.interleavings.stage import STAFF

_HELD_IN = {"pending", "payment_pending", "confirmed", "processing"}
_WAITS = ("reserving", "releasing", "committing")


def claims(run: Run, written: Written) -> Iterator[str]:
    """Everything that does not hold of this run."""
    yield from run.faults
    yield from (f"{name}: {detail}" for name, detail in faults(written.books, newest_image(written.books)))
    if any(row["correlation_id"] == ZOMBIE for row in written.books.log):
        yield "who had lost the call wrote all the same"
    yield from _rest(run, written)
    yield from _events(written)
    yield from _money(written)
    yield from _stock(written)
    yield from _twins(run)
    actors = (run.case.first, run.case.second)
    for n, (actor, reply) in enumerate(zip(actors, run.replies, strict=True)):
        if actor.column is not None and reply is not None:
            yield from (f"{actor.name}: {fault}" for fault in _answer(run, written, n, actor, reply))


def _twins(run: Run) -> Iterator[str]:
    """One key, one answer: who asks at the same time may be told so, and an interim answer may come first."""
    if not run.case.twins:
        return
    final = [r for r in run.replies if r and r.status != 202 and not _in_flight(r)]
    # What was refused without anything written is decided anew each time, and told with the id of the request.
    if len({(r.status, _said(r) if r.problem else r.body, r.version) for r in final}) > 1:
        yield f"one key, and two answers: {[_said(r) for r in run.replies if r]}"


def _in_flight(reply: Reply) -> bool:
    return _said(reply) in ("request-in-flight", "idempotency-key-reused")


# --- rest, events ---


def _rest(run: Run, written: Written) -> Iterator[str]:
    order = written.order
    opened = [f"{call['kind']} is {call['state']}" for call in written.calls if call["state"] in ("open", "parked")]
    if run.case.beginning != "parked" and opened:
        yield f"at rest, and {', '.join(opened)}"
    if run.case.beginning not in ("parked", "refund_failed") and order.attention is not None:
        yield f"a person is needed: {order.attention.code}"


def _events(written: Written) -> Iterator[str]:
    told = [str(event) for row in written.books.log for event in row["events"]]
    counts = Counter(told)
    path = [row["to_status"] for row in written.books.history]
    wanted = {
        "order.payment_successful": path.count("confirmed"),
        "order.payment_failed": path.count("payment_failed"),
        "order.shipped": path.count("shipped"),
        "order.delivered": path.count("delivered"),
        "order.cancelled": int("cancelled" in path and bool(told)),
        "order.refunded": sum(r.status is RefundStatus.SUCCEEDED for r in written.order.refunds),
        "order.created": int(bool(told)),
    }
    for event, count in wanted.items():
        if counts[event] != count:
            yield f"{event} was told {counts[event]} times, not {count}: {path}"
    if told and told[0] != "order.created":
        yield f"the first event is {told[0]}"


# --- the partners' side ---


def _money(written: Written) -> Iterator[str]:
    order = written.order
    by_kind: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for effect in written.effects:
        if effect["kind"] in ("charge", "refund"):
            by_kind[effect["kind"]][effect["reference"]].append(effect["amount"])
    charged, refunded = by_kind["charge"], by_kind["refund"]
    for reference, amounts in [*charged.items(), *refunded.items()]:
        if len(amounts) > 1:
            yield f"{reference} moved money {len(amounts)} times"
    took = {a.reference: a.amount for a in order.payment.attempts if a.status is AttemptStatus.CAPTURED or a.surplus}
    if {reference: amounts[0] for reference, amounts in charged.items()} != took:
        yield f"the payment service took {dict(charged)}, the order says {took}"
    gave = {r.reference: r.amount for r in order.refunds if r.status is RefundStatus.SUCCEEDED}
    if {reference: amounts[0] for reference, amounts in refunded.items()} != gave:
        yield f"the payment service gave back {dict(refunded)}, the order says {gave}"
    net = sum(took.values()) - sum(gave.values())
    outside = order.settled_outside
    if order.status in ("pending", "payment_failed", "refunded") and net:
        yield f"{order.status}, and {net} of the customer's money is kept"
    if order.status == "cancelled" and net != outside and order.attention is None:
        yield f"cancelled, and {net} is kept, {outside} settled outside"
    if order.status in ("confirmed", "processing", "shipped", "delivered") and len(took) != 1:
        yield f"{order.status}, and {len(took)} payments were taken"


def _stock(written: Written) -> Iterator[str]:
    order, state = written.order, {}
    for effect in written.effects:
        if effect["kind"] in ("reserve", "release", "commit"):
            state[effect["reference"]] = effect["kind"]
    for reservation in order.reservations:
        last, status = state.pop(reservation.reservation_id, None), reservation.status
        wanted: tuple[str | None, ...] = {
            ReservationStatus.RESERVED: ("reserve",),
            ReservationStatus.REFUSED: (None, "release"),
            ReservationStatus.RELEASED: ("release",),
            ReservationStatus.COMMITTED: ("commit",),
        }.get(status, ("at rest",))
        if last not in wanted and order.attention is None:
            yield f"reservation {status}, the inventory's last word is {last}"
    if state:
        yield f"the inventory has reservations that the order does not know: {state}"
    holds = [r for r in order.reservations if r.status is ReservationStatus.RESERVED]
    gone = [r for r in order.reservations if r.status is ReservationStatus.COMMITTED]
    if len(holds) != int(order.status in _HELD_IN):
        yield f"{order.status}, and {len(holds)} reservations hold goods"
    left = bool({"shipped", "delivered"} & {row["to_status"] for row in written.books.history})
    if len(gone) != int(left):
        yield f"{order.status}, and {len(gone)} reservations are gone"


# --- the answers ---


def _answer(run: Run, written: Written, n: int, actor: Actor, reply: Reply) -> Iterator[str]:
    """What the table says of the state in which the command was decided; the log tells which that was."""
    if reply.status >= 500:
        yield f"answered {reply.status}"
        return
    said = _said(reply)
    if actor.column == "create":
        yield from _created(run, n, reply, said)
        return
    if actor.column in ("retry", "give up"):
        wanted = {"retry": ("202", "call-not-parked"), "give up": ("200", "call-not-parked")}[actor.column]
        if said not in wanted:
            yield f"answered {said}"
        return
    assert actor.column is not None
    at = _version_of(run, written, n)
    if at is None and run.case.twins and n == 1:
        at = _version_of(run, written, 0)
    if at is None and run.case.twins and n == 0:
        at = _version_of(run, written, 1)
    if at is not None:
        before = written.versions[at - 2]
        verdict = expected(before, _column(actor, before, written))
        allowed = _later(verdict, before, written, actor.column)
        if said not in allowed and not (run.case.twins and said == "request-in-flight"):
            yield f"answered {said} when it was {_of(before)}, where the table says {verdict}: {allowed}"
        return
    since = [order for order in written.versions if order.version >= run.order.version]
    allowed = set()
    for order in since:
        verdict = expected(order, _column(actor, order, written))
        if verdict.endswith("=") or not verdict[0].isdigit():
            allowed |= _later(verdict, order, written, actor.column)
    if said not in allowed:
        yield f"answered {said} and wrote nothing, where the table says {sorted(allowed)} of all {len(since)} versions"


def _column(actor: Actor, order: Order, written: Written) -> str:
    """A payment is one with the same token as the attempt under way, or one with another."""
    assert actor.column is not None
    newest = order.newest_attempt
    if actor.column != "pay" or newest is None:
        return actor.column
    return "pay" if written.tokens[newest.attempt] == actor.token else "pay other"


def _of(order: Order) -> str:
    return f"{order.status} at version {order.version}"


def _said(reply: Reply) -> str:
    """The code of a refusal, else the status."""
    if reply.problem:
        code: str = msgspec.json.decode(reply.body)["code"]
        return code
    return str(reply.status)


def _version_of(run: Run, written: Written, n: int) -> int | None:
    """The version that the command itself has made."""
    name = f"request-{n}-{run.order.user_id}"
    rows = [row for row in written.books.log if row["actor"] == STAFF.name and row["correlation_id"] == name]
    assert len(rows) <= 1, "one command, one version"
    return rows[0]["version"] if rows else None


def _later(verdict: str, before: Order, written: Written, column: str) -> set[str]:
    """What the verdict of the moment may become by the time that the answer is given."""
    plain = verdict.removesuffix("=")
    if not plain[0].isdigit() or plain == "200":
        return {plain}
    match column:
        case "pay":
            number = len(before.payment.attempts) + (0 if verdict.endswith("=") else 1)
            return {"202"} | _paid(written, number)
        case "refund part" | "refund rest":
            return {"201", "202"}
        case _:
            return {"200", "202"}


def _paid(written: Written, number: int) -> set[str]:
    """What became of the attempt, as RULES.md has it."""
    found = set()
    for order in written.versions:
        attempts = order.payment.attempts
        if len(attempts) < number:
            continue
        status, over = str(attempts[number - 1].status), order.cancellation is not None
        if over:
            found.add("not-payable")
        elif status == "captured":
            found.add("200")
        elif status in ("declined", "voided"):
            found.add("payment-declined")
        elif status == "closed":
            found |= {"out-of-stock", "stock-not-reserved"}
    return found


def _created(run: Run, n: int, reply: Reply, said: str) -> Iterator[str]:
    other = run.replies[1 - n]
    if said in ("201", "202"):
        ids = {msgspec.json.decode(r.body)["id"] for r in (reply, other) if r and not r.problem}
        if len(ids) != 1:
            yield f"two orders were created: {ids}"
    elif said == "request-in-flight":
        if other is None or _said(other) not in ("201", "202"):
            yield f"in flight, and the other one was answered {other and _said(other)}"
    elif said != "idempotency-key-reused" or run.case.first is run.case.second:
        yield f"answered {said}"


def repeated(run: Run, n: int, reply: Reply, again: Reply) -> Iterator[str]:
    """What the same request under the same key is answered with, when all is over."""
    final, now = ((r.status, r.body, r.version) for r in (reply, again))
    if reply.status != 202 and not reply.problem and now != final:
        yield f"request {n} was answered {_said(reply)}, and its repeat {_said(again)} with other bytes"
    if again.status >= 500 or _said(again) == "request-in-flight":
        yield f"the repeat of request {n} was answered {_said(again)}"
