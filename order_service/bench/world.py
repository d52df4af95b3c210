"""The partners' side of the contracts, at the least cost: enough memory to be honest about keys, holds and money.

No journal, no faults and no magic values: the sandbox has those. What is kept is what a double charge, a lost hold or
a key with two meanings would show in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

Answer = tuple[int, bytes]

KEYS_REMEMBERED = 1_000_000
"""Answers kept by key; the oldest go first, long after anybody could repeat them."""

MOST_RESERVES = 64
"""In one request."""

_RESERVATIONS = "/api/v1/inventory/reservations"
_DECLINED = "tok_declined"
_encode = msgspec.json.Encoder().encode


class Item(Struct, rename="camel"):
    """A product and how many."""

    product_id: str
    quantity: int


class _Items(Struct):
    items: list[Item]


class _Reserve(Struct, rename="camel"):
    reservation_id: str
    order_id: str
    items: list[Item]


class _Keyed(Struct, rename="camel"):
    idempotency_key: str
    reservation: Raw


class _ReserveMany(Struct):
    reservations: list[_Keyed]


class _Clear(Struct, rename="camel"):
    order_id: str


class _Method(Struct):
    token: str


class _Charge(Struct, rename="camel"):
    order_id: str
    reference: str
    amount: int
    currency: str
    payment_method: _Method


class _Void(Struct):
    reference: str


class _Refund(Struct):
    reference: str
    amount: int


class Refund(Struct, rename="camel"):
    """Money given back."""

    refund_id: str
    reference: str
    amount: int
    status: str = "succeeded"


class Payment(Struct, omit_defaults=True, rename="camel"):
    """One reference, one payment."""

    payment_id: str
    reference: str
    status: str
    amount: int
    currency: str | None
    decline_code: str | None = None


class World:
    """Reservations, carts and payments in memory; ``stock`` is how many of each product there are."""

    def __init__(self) -> None:
        self.stock = 1_000_000_000
        self.calls: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.mismatches = 0
        """Keys that came with other bytes than before: always 0 if the service is right."""
        self._answers: dict[tuple[str, bytes], tuple[int, Answer]] = {}
        self._reservations: dict[str, tuple[str, list[Item]]] = {}
        self._payments: dict[str, Payment] = {}
        self._references: dict[str, Payment] = {}
        self._refunds: dict[str, list[Refund]] = {}
        self._posts: dict[tuple[str, ...], Callable[[list[str], bytes], Answer]] = {
            ("inventory", "availability"): self._availability,
            ("inventory", "reservations"): self._reserve,
            ("inventory", "reservations", "bulk"): self._reserve_many,
            ("inventory", "reservations", "release"): self._release,
            ("inventory", "reservations", "commit"): self._commit,
            ("carts", "clear"): self._clear,
            ("payments",): self._charge,
            ("payments", "void"): self._void,
            ("payments", "refunds"): self._refund,
        }

    def post(self, path: str, key: bytes, body: bytes) -> Answer:
        """The effect of a write, once per path and key."""
        if not key:
            return 400, b'{"error":"Idempotency-Key is missing"}'
        remembered = self._answers.get((path, key))
        if remembered is not None:
            self.mismatches += remembered[0] != hash(body)
            return remembered[1]
        parts = path.split("/")[3:]  # "", "api", "v1", ...
        name = tuple(part for place, part in enumerate(parts) if place != _ID_AT.get((parts[0], len(parts))))
        serve = self._posts.get(name)
        if serve is None:
            return 404, b'{"error":"no such path"}'
        self.calls["/".join(name)] += 1
        answer = serve(parts, body)
        if name not in _WITHOUT_A_KEY:
            if len(self._answers) >= KEYS_REMEMBERED:
                del self._answers[next(iter(self._answers))]
            self._answers[path, key] = hash(body), answer
        return answer

    def get(self, path: str, query: str) -> Answer:
        """How something stands."""
        parts = path.split("/")[3:]
        self.calls[f"get {parts[0]}"] += 1
        match parts:
            case ["inventory", "reservations", found] if found in self._reservations:
                state, items = self._reservations[found]
                return 200, _encode({"state": state, "items": items})
            case ["payments"]:
                payment = self._references.get(query.removeprefix("reference="))
                return 200, _encode({"items": [] if payment is None else [payment]})
            case ["payments", found] if found in self._payments:
                shown = msgspec.to_builtins(self._payments[found])
                return 200, _encode({**shown, "refunds": self._refunds.get(found, [])})
            case ["carts", user]:
                return 200, _encode({"userId": user, "currency": "USD", "items": [], "tax": 0, "discount": 0})
        return 404, b'{"error":"not found"}'

    def state(self) -> bytes:
        """What happened so far, in numbers."""
        return _encode(
            {
                "calls": self.calls,
                "mismatches": self.mismatches,
                "reservations": Counter(state for state, _ in self._reservations.values()),
                "captured": sum(p.amount for p in self._payments.values() if p.status == "succeeded"),
                "charges": sum(p.status == "succeeded" for p in self._payments.values()),
                "refunded": sum(r.amount for found in self._refunds.values() for r in found),
            }
        )

    # --- inventory ---

    def _availability(self, _: list[str], body: bytes) -> Answer:
        items = _ITEMS(body).items
        return 200, b'{"items":[%b],"bulkReservations":%d}' % (
            b",".join(
                b'{"productId":%b,"availableQuantity":%d}'
                % (_encode(i.product_id), self.stock - self.held[i.product_id])
                for i in items
            ),
            MOST_RESERVES,
        )

    def _reserve_many(self, _: list[str], body: bytes) -> Answer:
        """Each as by itself: its key and its bytes mean the same there and here."""
        answers = []
        for one in _RESERVE_MANY(body).reservations:
            status, said = self.post(_RESERVATIONS, one.idempotency_key.encode(), bytes(one.reservation))
            answers.append(
                b'{"reservationId":%b,"status":%d,"body":%b}'
                % (_encode(_RESERVE(one.reservation).reservation_id), status, said)
            )
        return 200, b'{"reservations":[%b]}' % b",".join(answers)

    def _reserve(self, _: list[str], body: bytes) -> Answer:
        asked = _RESERVE(body)
        found = self._reservations.get(asked.reservation_id)
        if found is not None and found[0] != "reserved":
            return 409, b'{"shortages":[]}'
        if found is None:
            need: Counter[str] = Counter()
            for item in asked.items:
                need[item.product_id] += item.quantity
            short = [
                {"productId": product, "requested": wanted, "available": self.stock - self.held[product]}
                for product, wanted in need.items()
                if self.stock - self.held[product] < wanted
            ]
            if short:
                return 409, _encode({"shortages": short})
            for product, wanted in need.items():
                self.held[product] += wanted
            self._reservations[asked.reservation_id] = "reserved", asked.items
        return 201, b'{"reservationId":%b}' % _encode(asked.reservation_id)

    def _release(self, parts: list[str], _: bytes) -> Answer:
        state, items = self._reservations.get(parts[2], ("unknown", []))
        if state != "committed":
            if state == "reserved":
                for item in items:
                    self.held[item.product_id] -= item.quantity
            self._reservations[parts[2]] = "released", items
        return 200, b'{"state":"released"}'

    def _commit(self, parts: list[str], _: bytes) -> Answer:
        state, items = self._reservations.get(parts[2], ("unknown", []))
        if state not in ("reserved", "committed"):
            return 409, b'{"error":"nothing is held"}'
        self._reservations[parts[2]] = "committed", items
        return 200, b'{"state":"committed"}'

    # --- cart ---

    def _clear(self, _: list[str], body: bytes) -> Answer:
        _CLEAR(body)
        return 200, b'{"cleared":true}'

    # --- payment ---

    def _charge(self, _: list[str], body: bytes) -> Answer:
        asked = _CHARGE(body)
        payment = self._references.get(asked.reference)
        if payment is None:
            declined = asked.payment_method.token == _DECLINED
            payment = self._open(asked.reference, "declined" if declined else "succeeded", asked.amount, asked.currency)
            if declined:
                payment.decline_code = "card_declined"
        return 201, _encode(payment)

    def _void(self, _: list[str], body: bytes) -> Answer:
        reference = _VOID(body).reference
        payment = self._references.get(reference) or self._open(reference, "voided", 0, None)
        return 200, _encode(payment)

    def _refund(self, parts: list[str], body: bytes) -> Answer:
        asked, payment = _REFUND(body), self._payments.get(parts[1])
        if payment is None:
            return 404, b'{"error":"no such payment"}'
        done = self._refunds.setdefault(payment.payment_id, [])
        if sum(r.amount for r in done) + asked.amount > (payment.amount if payment.status == "succeeded" else 0):
            return 409, b'{"error":"more than was captured"}'
        done.append(Refund(f"{payment.payment_id}-r{len(done) + 1}", asked.reference, asked.amount))
        return 201, _encode(done[-1])

    def _open(self, reference: str, status: str, amount: int, currency: str | None) -> Payment:
        payment = Payment(f"pay-{len(self._payments) + 1}", reference, status, amount, currency)
        self._payments[payment.payment_id] = self._references[reference] = payment
        return payment


_WITHOUT_A_KEY = {("inventory", "availability"), ("inventory", "reservations", "bulk")}
"""A question changes nothing, and in a request of many each has its own."""

_ID_AT = {("inventory", 4): 2, ("carts", 3): 1, ("payments", 3): 1}
"""Where the id stands in a path, by its first word and its length."""

_ITEMS = msgspec.json.Decoder(_Items).decode
_RESERVE = msgspec.json.Decoder(_Reserve).decode
_RESERVE_MANY = msgspec.json.Decoder(_ReserveMany).decode
_CLEAR = msgspec.json.Decoder(_Clear).decode
_CHARGE = msgspec.json.Decoder(_Charge).decode
_VOID = msgspec.json.Decoder(_Void).decode
_REFUND = msgspec.json.Decoder(_Refund).decode
