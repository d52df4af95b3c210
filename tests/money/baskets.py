"""Random orders as a client would send them, and random ways to give an amount back."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

from order_service.api.codes import EXPONENTS
from order_service.core.model import MAX_AMOUNT

CURRENCIES = {digits: sorted(c for c, d in EXPONENTS.items() if d == digits) for digits in (0, 2, 3)}
ADDRESS = {"name": "Ada", "line1": "Main Street 1", "city": "Berlin", "postalCode": "10115", "country": "DE"}
PRICES = (0, 1, 2, 5, 9, 99, 100, 101, 999, 1000, 1999, 33_333, 2**31 - 1, 2**31, 2**32)


def body(chance: Random, *, largest: int = 200) -> dict[str, Any]:
    """A lawful body: 1 to ``largest`` lines, amounts from nothing to the last unit that JSON can carry."""
    count = min(largest, chance.choice((1, 1, 2, 3, 7, 30, chance.randint(1, 200), 200)))
    room = MAX_AMOUNT // chance.choice((1, 1, 10**3, 10**9))
    items, subtotal = [], 0
    for number in range(count):
        item, total = _item(chance, number, room - subtotal, last=number == count - 1)
        items.append(item)
        subtotal += total
    extras, total = _extras(chance, subtotal)
    assert 0 <= total <= MAX_AMOUNT
    digits = chance.choice((0, 2, 2, 3))
    currency = chance.choice(CURRENCIES[digits])
    return {"userId": "ada", "currency": currency, "items": items, "shippingAddress": ADDRESS, **extras}


def _item(chance: Random, number: int, room: int, *, last: bool) -> tuple[dict[str, Any], int]:
    """A line that fits; the last one of some orders takes all the room that is left."""
    quantity = chance.choice((1, 1, 2, 3, 12, 1_000_000))
    price = chance.choice((*PRICES, chance.randint(0, 10**9)))
    if last and chance.random() < 0.2:
        quantity, price = 1, room
    if quantity * price > room:
        quantity, price = 1, min(price, room)
    product = {"productId": f"p{number % 150}", "name": f"Thing {number}"}
    return {**product, "quantity": quantity, "unitPrice": price}, quantity * price


def _extras(chance: Random, subtotal: int) -> tuple[dict[str, int], int]:
    """Shipping, tax and discount, each of them perhaps left out; the total stays within its bounds."""
    room = MAX_AMOUNT - subtotal
    shipping, tax = min(chance.choice((0, 490)), room // 2), min(chance.choice((0, subtotal // 5)), room // 2)
    whole = subtotal + shipping + tax
    discount = min(chance.choice((0, 0, 1, whole // 3, whole)), whole)
    extras = {"shippingCost": shipping, "tax": tax, "discount": discount}
    return {name: value for name, value in extras.items() if value or chance.random() < 0.5}, whole - discount


def split(chance: Random, amount: int) -> list[int]:
    """Parts of at least one minor unit that add up to ``amount``, in any order."""
    cuts = {chance.choice((1, amount - 1, amount // 2, chance.randint(1, amount))) for _ in range(chance.randint(0, 5))}
    edges = sorted({0, amount, *(cut for cut in cuts if 0 < cut < amount)})
    parts = [end - begin for begin, end in pairwise(edges)]
    chance.shuffle(parts)
    return parts
