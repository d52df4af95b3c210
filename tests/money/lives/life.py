"""One life: two users, their orders, staff, a worker and the weather, all drawn from one seed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import NamedTuple

from order_service.core.answers import Answer, CallKind, Unanswered
from order_service.core.errors import Refusal
from order_service.core.facets import next_timer
from order_service.core.lifecycle import BY_HAND, Status, Stock
from order_service.core.messages import (
    Answered,
    Cancel,
    GiveUpCall,
    Message,
    Pay,
    PlaceOrder,
    RefundOrder,
    RetryCall,
    SetStatus,
    Tick,
)
from order_service.core.model import MAX_AMOUNT, Attempt, AttemptStatus, Line, Order, Policy
from order_service.partners.door import dispatch_call
from order_service.sandbox.journal import StockSet
from order_service.sandbox.outcome import Outcome
from tests.core.given import CONTACTS
from tests.money.lives.books import Books, Owed
from tests.money.lives.network import Network, at_once
from tests.money.lives.partners import Counter
from tests.money.lives.reconcile import Ledger, at_every_moment, at_the_end

BEGINNING_S = 1_772_323_200.0
TOKENS = (
    *("tok_visa",) * 9,
    *("tok_declined", "tok_processing", "tok_3ds", "tok_requires_capture", "tok_timeout_after") * 2,
    *("tok_refund_fails", "tok_refund_pending", "tok_refund_fails_late", "tok_refused"),
)
CURRENCIES = ("EUR", "USD", "JPY", "KWD", "BHD", "CLP")
MOMENTS_S = (*(0.1, 0.5, 1.0, 2.0, 3.0) * 4, 9.0, 9.0, 20.0, 20.0, 400.0, 1000.0)
SCARCE, PLENTY, NONE = "lamp", "mug", "out-of-stock"
_NEXT = {origin: target for target, origin in BY_HAND.items()}
ROUNDS = 5000
"""More than any life has needed to come to rest; a life that needs more goes round in circles."""


class Held(NamedTuple):
    """An answer that is still on its way back to us."""

    order_id: str
    call_id: str
    token: int
    answer: Answer


class Life:
    """Draws what happens next; ``transcript`` tells it in the order it happened."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.chance = chance = Random(seed)
        self.now_s = BEGINNING_S
        self.transcript: list[str] = []
        self.counter = Counter(folder, lambda: self.now_s)
        self.network = Network(self.counter, chance)
        self.pieces = chance.choice((2, 8, 20))
        self.counter.world.settle(Outcome(200, {}, StockSet(SCARCE, self.pieces)))
        self.books = Books(
            Policy(
                unpaid_ttl_s=chance.choice((300.0, 1800.0, 86_400.0)),
                attempt_deadline_s=chance.choice((5.0, 60.0, 900.0)),
                retry_hold_s=chance.choice((0.0, 0.0, 8.0, 600.0)),
            )
        )
        self.ledger = Ledger(self.counter)
        self.held: list[Held] = []
        self.captured_late: list[str] = []
        self.given_up: set[str] = set()
        self.staff_is_there = chance.random() < 0.9

    def live(self) -> None:
        """From the first click to the last reconciled minor unit."""
        try:
            for _ in range(self.chance.randint(20, 120)):
                self._step()
                at_every_moment(self.books, self.ledger)
            self.network.calm = True
            self._come_to_rest()
            for copy in list(self.network.copies):
                self.say(f"a copy of {copy.key} arrives when all is over")
                self.network.arrive(copy)
            at_every_moment(self.books, self.ledger)
            at_the_end(self)
        finally:
            self.counter.world.close()

    def say(self, sentence: str) -> None:
        """Add a line to the transcript."""
        self.transcript.append(f"{self.now_s - BEGINNING_S:>10.1f}  {sentence}")

    # --- what may happen next ---

    def _step(self) -> None:
        lot = self.chance.random()
        if not self.books.states or (lot < 0.03 and len(self.books.states) < 3):
            self._place()
        elif lot < 0.45:
            self._work()
        elif lot < 0.58:
            self._customer()
        elif lot < 0.76:
            self._staff()
        elif lot < 0.92:
            self.now_s += self.chance.choice(MOMENTS_S)
            self._timers()
        else:
            self._mischief()

    def _place(self) -> None:
        chance = self.chance
        user = chance.choice(("ada", "bob"))
        order_id = f"life{self.seed}-{user}{len(self.books.states) + 1}"
        lines = tuple(self._line(n) for n in range(1, chance.randint(1, 3) + 1))
        subtotal = sum(line.total for line in lines)
        shipping, tax = chance.choice((0, 1, 490)), chance.choice((0, 7))
        discount = chance.choices((0, min(subtotal, 5), subtotal, subtotal + shipping + tax), (12, 4, 1, 1))[0]
        if subtotal + shipping + tax - discount > MAX_AMOUNT:
            discount = shipping + tax
        message = PlaceOrder(
            order_id,
            f"N-{order_id}",
            user,
            chance.choice(CURRENCIES),
            lines,
            CONTACTS,
            shipping_cost=shipping,
            tax=tax,
            discount=discount,
            token=chance.choice(TOKENS),
        )
        self._command(order_id, message, f"places {lines} for {subtotal + shipping + tax - discount}")

    def _line(self, number: int) -> Line:
        chance = self.chance
        product = chance.choices((SCARCE, PLENTY, NONE), (3, 8, 0.1))[0]
        quantity = chance.choice((1, 1, 2, 3))
        price = chance.choice((1, 3, 199, 1990, 100_000, chance.randint(1, 10**6), MAX_AMOUNT // 9))
        return Line(number, product, product.title(), quantity, price, price * quantity)

    def _customer(self) -> None:
        order = self._some_order()
        lot = self.chance.random()
        if lot < 0.06:
            self._command(order.id, Cancel("changed my mind"))
        elif lot < 0.2:
            self._command(order.id, Pay())
        elif order.stock is not Stock.RESERVING and not order.payment.captured:
            self._command(order.id, Pay(self.chance.choice(TOKENS)))

    def _staff(self) -> None:
        order = self._some_order()
        if order.attention is not None and self.staff_is_there and self.chance.random() < 0.5:
            self._mend(order, self.chance.random())
            return
        lot = self.chance.random()
        if lot < 0.35 and order.status in _NEXT:
            self._command(order.id, SetStatus(_NEXT[order.status], "by staff"))
        elif lot < 0.75:
            left = order.refundable
            amount = self.chance.choice((None, 1, order.total // 3, left // 2, left, left - 1, order.total))
            self._command(order.id, RefundOrder("dented", amount))
        else:
            targets = (Status.PROCESSING, Status.SHIPPED, Status.DELIVERED, Status.REFUNDED, Status.CANCELLED)
            target = self.chance.choices(targets, (5, 5, 3, 2, 1))[0]
            self._command(order.id, SetStatus(target, "by staff"))

    def _mend(self, order: Order, lot: float) -> None:
        assert order.attention is not None
        call_id = order.attention.call_id
        if lot < 0.6:
            self._command(order.id, RetryCall(call_id))
            return
        owed = self.books.owed.get(call_id)
        if self._command(order.id, GiveUpCall(call_id, "paid back in cash")):
            self.given_up.add(owed.call.subject if owed is not None else call_id)
        else:
            self._command(order.id, RetryCall(call_id))

    def _mischief(self) -> None:
        """A premature timer, a late copy that arrives, or money taken for an attempt that is over."""
        order, lot = self._some_order(), self.chance.random()
        if lot < 0.2:
            self._command(order.id, Tick())
        elif lot < 0.6 and self.network.copies:
            copy = self.chance.choice(self.network.copies)
            self.say(f"a late copy of {copy.key} arrives")
            self.network.arrive(copy)
        elif lot >= 0.6:
            attempts = [a for a in order.payment.attempts if self._will_be_read_again(a)]
            if attempts:
                reference = self.chance.choice(attempts).reference
                self.say(f"the payment service captures {reference} after all")
                self.captured_late.append(reference)
                self.counter.capture(reference)

    def _will_be_read_again(self, attempt: Attempt) -> bool:
        closed = attempt.status in (AttemptStatus.DECLINED, AttemptStatus.VOIDED)
        owed = [o.call.kind for o in self.books.owed.values() if o.call.subject == attempt.reference]
        return not closed or CallKind.LATE_CHECK in owed

    def _some_order(self) -> Order:
        return self.books.order(self.chance.choice(list(self.books.states)))

    def _command(self, order_id: str, message: Message, told: str | None = None) -> bool:
        told = told or f"{message}"
        try:
            decision = self.books.apply(order_id, message, self.now_s)
        except Refusal as refusal:
            self.say(f"{order_id}: {told} -> refused: {refusal.code}")
            return False
        if decision.writes or not isinstance(message, Tick):
            self.say(f"{order_id}: {told} -> {self._stands(order_id)}")
        return True

    def _stands(self, order_id: str) -> str:
        order = self.books.order(order_id)
        money = order.payment
        return (
            f"v{order.version} {order.status}, stock {order.stock}, payment {money.status}"
            f" ({money.captured} - {money.refunded}), attention {order.attention and order.attention.code}"
        )

    # --- the worker ---

    def _work(self) -> None:
        if self.held and self.chance.random() < 0.5:
            self._hear(self.held.pop(self.chance.randrange(len(self.held))))
            return
        due = self.books.due(self.now_s)
        if due:
            self._send(self.chance.choice(due))

    def _send(self, owed: Owed) -> None:
        call, token = owed.call, self.books.lease(owed, self.now_s)
        if owed.drop_at is not None and owed.drop_at <= self.now_s:
            answer: Answer = Unanswered("too late to be sent")
        else:
            work = dispatch_call(self.network.partners, call.kind, call.request, call.key, timeout_s=7)
            answer = at_once(work)
        held = Held(owed.order_id, call.call_id, token, answer)
        if not self.network.calm and self.chance.random() < 0.1:
            self.say(f"{owed.order_id}: {call.kind} of {call.subject}, {self.network.fate}; its answer takes long")
            self.held.append(held)
        else:
            self._hear(held, f"{call.kind} of {call.subject}, {self.network.fate}: ")

    def _hear(self, held: Held, sent: str = "heard at last: ") -> None:
        message = Answered(held.call_id, held.answer)
        decision = self.books.hear(held.order_id, message, held.token, self.now_s)
        dropped = "" if decision is not None and decision.writes else " (dropped)"
        self.say(f"{held.order_id}: {sent}{held.answer}{dropped} -> {self._stands(held.order_id)}")

    def _timers(self) -> None:
        for order in list(self.books.orders()):
            timer = next_timer(order)
            if timer is not None and timer.timestamp() <= self.now_s:
                self._command(order.id, Tick())

    # --- the end ---

    def _come_to_rest(self) -> None:
        """The weather is fine from here on: everything that is owed is made, and people mend what waits for them."""
        self.say("the storm is over")
        for _ in range(ROUNDS):
            self._timers()
            while self.held:
                self._hear(self.held.pop())
            due = self.books.due(self.now_s)
            if due:
                self._send(due[0])
                at_every_moment(self.books, self.ledger)
            elif not self._mend_one() and not self._wait():
                return
        raise AssertionError("the life does not come to rest")

    def _mend_one(self) -> bool:
        waiting = [order for order in self.books.orders() if order.attention is not None]
        if not waiting or not self.staff_is_there:
            return False
        self._mend(waiting[0], self.chance.random())
        return True

    def _wait(self) -> bool:
        moments = [o.due_at for o in self.books.owed.values() if not o.parked]
        timers = (next_timer(order) for order in self.books.orders())
        moments += [timer.timestamp() for timer in timers if timer is not None]
        if not moments:
            return False
        self.now_s = max(self.now_s, *moments) if len(moments) == 1 else max(self.now_s, min(moments))
        return True


def live(seed: int) -> Life:
    """Live the life of this seed; a fault is told with the whole life."""
    folder = Path(tempfile.mkdtemp(prefix="life-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        life = Life(seed, folder)
        try:
            life.live()
        except AssertionError as fault:
            story = "\n".join(life.transcript)
            raise AssertionError(f"life {seed}: {fault}\n{story}") from fault
        return life
    finally:
        shutil.rmtree(folder, ignore_errors=True)
