"""``decide``, each question asked once: a graph of orders in their normal form, every answer examined."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from msgspec import Struct

from order_service.core.answers import CallKind
from order_service.core.decide import decide
from order_service.core.errors import Refusal
from order_service.core.lifecycle import Status, Stock
from order_service.core.messages import Answered, Decision, Message, Tick
from order_service.core.model import OPEN_ATTEMPT, UNDER_VOID, Attempt, Policy, State

from . import partners
from .facets import check_facets, lawful
from .menu import TICKS, Move, amount_of, due, moves, placing, waits_for_stock
from .normal import NOW, START, key_of, name_of, normal
from .steps import Violation, check_step, must
from .table import check_answers


class Bound(Struct, frozen=True):
    """How far to walk: clicks on pay, refunds started by people, copies under way at a time, and odd answers.

    An odd answer is one that parks its call, or a capture of what was declined. ``rare`` adds the answers that differ
    from ``processing`` only in that they can be stopped.
    """

    name: str
    total: int = 2
    attempts: int = 2
    refunds: int = 2
    copies: int = 1
    odd: int = 1
    rare: bool = False
    cart: bool = False
    retry_hold_s: float = 0


class Owed(NamedTuple):
    """One open call: its name, its place in the truth, and whether it waits for a person."""

    name: str
    kind: CallKind
    field: int
    number: int
    subject: str
    amount: int
    parked: bool


class Rules:
    """The orders that were met, by number, and what each message makes of them."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.policy = Policy(retry_hold_s=bound.retry_hold_s)
        self.states: list[State] = []
        self.owed: list[tuple[Owed, ...]] = []
        self.met: Counter[tuple[str, ...]] = Counter()
        self.doing = "placed"
        self._numbers: dict[bytes, int] = {}
        self._answered: dict[tuple[int, str, str], int] = {}
        self._commands: dict[int, list[tuple[str, int]]] = {}
        self._lawful = lawful()
        placed = decide(None, placing(bound.total), START, self.policy)
        must(placed.events == (), "an event before order.created")
        self.met["move", "None", "pending"] += 1
        self.first = self._number(placed)

    def commands(self, number: int) -> list[tuple[str, int]]:
        """Where each command and timer leads; those that are refused or change nothing are left out."""
        found = self._commands.get(number)
        if found is None:
            state, found = self.states[number], []
            for move in moves(state, attempts=self.bound.attempts, refunds=self.bound.refunds):
                target = self._step(number, move)
                if target is not None and target != number:
                    found.append((move.name, target))
            self._commands[number] = found
        return found

    def timers(self, number: int) -> list[int]:
        """Where the timers lead that may fire in this state."""
        found = (self._step(number, move) for move in due(self.states[number].order))
        return [target for target in found if target is not None and target != number]

    def answered(self, number: int, call: Owed, word: str) -> int:
        """Where this answer to an open call leads."""
        key = number, call.name, word
        target = self._answered.get(key)
        if target is None:
            answer = partners.answer_of(call.kind, call.subject, word, call.amount)
            target = self._step(number, Move(f"{call.name}: {word}", Answered(call.name, answer)))
            assert target is not None
            self._answered[key] = target
        return target

    # --- inside ---

    def _step(self, number: int, move: Move) -> int | None:
        state = self.states[number]
        self.doing = move.name
        try:
            decision = self._decide(state, move)
        except Refusal:
            return None
        check_step(state, move.message, decision)
        if state.order.status is Status.PAYMENT_PENDING and decision.state.order.status is Status.PAYMENT_FAILED:
            stays = decision.state.order.stock is Stock.RESERVED
            must(stays == (self.policy.retry_hold_s > 0), "the stock of a failed payment")
        self.met["move", str(state.order.status), str(decision.state.order.status)] += 1
        return self._number(decision)

    def _decide(self, state: State, move: Move) -> Decision:
        decision = decide(state, move.message, move.at, self.policy)
        must(decision == decide(state, move.message, move.at, self.policy), "the same question, another answer")
        return decision

    def _number(self, decision: Decision) -> int:
        state = normal(decision.state, cart=self.bound.cart)
        key = key_of(state)
        number = self._numbers.get(key)
        if number is None:
            self._numbers[key] = number = len(self.states)
            self.states.append(state)
            self.owed.append(tuple(self._owed(state)))
            self._check_state(state)
        return number

    def _owed(self, state: State) -> list[Owed]:
        calls = []
        for call in state.calls:
            field = partners.field_of(call.kind)
            number = int(call.subject[3:]) if field >= 0 else 0
            amount = amount_of(state, call.kind, call.subject)
            calls.append(Owed(name_of(call), call.kind, field, number, call.subject, amount, call.parked is not None))
        return calls

    def _check_state(self, state: State) -> None:
        """What can be told from an order alone: facets, the answers of the table, timers, answers to dead calls."""
        order = state.order
        check_facets(state)
        here = order.status, order.stock, order.payment.status
        must(here in self._lawful, f"{here} is no lawful combination")
        kept = order.status is Status.PAYMENT_FAILED and order.stock is Stock.RESERVED
        must(not kept or order.hold_until is not None, "a failed payment keeps its stock without a hold")
        must(order.hold_until is None or (kept and self.policy.retry_hold_s > 0), "a hold that nobody wants")
        hold = str(order.newest_reservation.status)
        waits = not waits_for_stock(order) or hold in ("reserving", "releasing")
        must(waits, "an attempt waits for stock that nobody asks for")
        _check_owed(state)
        self.met["facets", *here] += 1
        for attempt in order.payment.attempts:
            self.met["attempt", str(attempt.status)] += 1
        for row in order.refunds:
            self.met["refund", str(row.status), "surplus" if row.surplus else "own"] += 1
        if order.attention is not None:
            self.met["attention", order.attention.code] += 1
        for cell in check_answers(state, self.policy):
            self.met["answer", *cell] += 1
        self._check_quiet(state, Answered("was owed once", partners.answer_of(CallKind.RESERVE, "", "reserved", 0)))
        for call in state.calls:
            if call.parked is not None:
                word = "reserved" if call.kind is CallKind.RESERVE else partners.UNANSWERED
                self._check_quiet(state, Answered(call.call_id, partners.answer_of(call.kind, call.subject, word, 0)))
        self._check_timer(state)

    def _check_quiet(self, state: State, message: Message) -> None:
        decision = decide(state, message, NOW, self.policy)
        must(not decision.writes and decision.state == state, "a late answer is dropped")

    def _check_timer(self, state: State) -> None:
        """The timer that a decision names is the one that does something, and not before its time."""
        at = decide(state, Tick(), NOW, self.policy).timer_at
        self._check_quiet(state, Tick())
        last = TICKS["deadline"].at
        if at is None:
            alive = state.order.status in (Status.PENDING, Status.PAYMENT_FAILED)
            must(not alive, f"{state.order.status} without a timer")
            must(not decide(state, Tick(), last, self.policy).writes, "a timer that nobody sets")
        else:
            must(decide(state, Tick(), at, self.policy).writes, "a timer that does nothing")
            for move in TICKS.values():
                must(move.at >= at or not decide(state, move.message, move.at, self.policy).writes, "before its time")


_ASKED = {
    "reserving": {CallKind.RESERVE},
    "releasing": {CallKind.RELEASE},
    "committing": {CallKind.COMMIT},
    "requested": {CallKind.REFUND},
    "pending": {CallKind.READ_REFUND},
}
"""What is under way with a reservation or a refund, and the call that is owed for it; for any other, none is."""


def _check_owed(state: State) -> None:
    """Whatever is under way is asked for, by exactly one call, and nothing else is."""
    order = state.order
    idle = {CallKind.CLEAR_CART, CallKind.CHECK_PAYMENT}
    gone = order.status is Status.CANCELLED and any(c.kind in idle for c in state.calls)
    must(not gone, "a cancelled order clears no cart, and reads nothing before a next charge")
    about: dict[str, set[CallKind]] = {}
    for call in state.calls:
        if call.kind not in (*idle, CallKind.LATE_CHECK):
            about.setdefault(call.subject, set()).add(call.kind)
    for name, status in (
        *((r.reservation_id, str(r.status)) for r in order.reservations),
        *((r.reference, str(r.status)) for r in order.refunds),
    ):
        must(about.pop(name, set()) == _ASKED.get(status, set()), f"{name} is {status}, and another call is owed")
    for attempt in order.payment.attempts:
        asked = about.pop(attempt.reference, set())
        if attempt.status in OPEN_ATTEMPT:
            _check_open_attempt(state, attempt, asked)
        else:
            must(not asked, f"an attempt is {attempt.status}, and {asked} is owed")
    must(not about, f"{about} is owed for nothing")


def _check_open_attempt(state: State, attempt: Attempt, asked: set[CallKind]) -> None:
    """An open attempt is charged or read while its order waits for it, and voided where nobody does."""
    status = state.order.status
    if attempt.status in UNDER_VOID:
        must(status in (Status.PAYMENT_PENDING, Status.CANCELLED), "an open attempt of a settled order")
        must(asked in ({CallKind.VOID}, {CallKind.READ_PAYMENT}), "a void that nobody asks for")
        return
    must(status is Status.PAYMENT_PENDING, "an open attempt that nobody waits for is not voided")
    waits = any(c.kind is CallKind.CHECK_PAYMENT for c in state.calls)
    if attempt.status == "pending":
        must(asked == (set() if waits else {CallKind.CHARGE}), "a charge goes out when the closed ones are read")
    elif attempt.status == "unknown":
        must(asked in ({CallKind.CHARGE}, {CallKind.READ_PAYMENT}), "an unknown charge that nobody asks about")
    else:
        must(asked == {CallKind.READ_PAYMENT}, "what is not final is read on")


def violated(error: AssertionError) -> Violation:
    """An assertion of the rules themselves is a violation too."""
    return error if isinstance(error, Violation) else Violation(f"the rules stopped: {error}")
