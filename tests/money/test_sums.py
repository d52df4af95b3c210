"""Ten thousand random orders from the bytes of a request to the bytes of the answer: every sum is exact."""

from __future__ import annotations

import json
from fractions import Fraction
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_service.api.bodies import CreateOrder, Unsound, to_place_order
from order_service.api.codes import EXPONENTS
from order_service.core.answers import Reserved
from order_service.core.decide import decide
from order_service.core.messages import Answered
from order_service.core.model import MAX_AMOUNT, Order, Policy
from order_service.store.load import document
from tests.core.given import MIDNIGHT
from tests.money.baskets import ADDRESS, CURRENCIES, body

ORDERS = 10_000
_decode = msgspec.json.Decoder(CreateOrder).decode


def _answered(sent: dict[str, Any]) -> dict[str, Any]:
    """What a client reads about the order that it has sent, with a plain JSON reader."""
    message = to_place_order(_decode(json.dumps(sent).encode()))
    placed = decide(None, message, MIDNIGHT, Policy()).state
    held = decide(placed, Answered(placed.calls[0].call_id, Reserved()), MIDNIGHT, Policy()).state
    read: dict[str, Any] = json.loads(document(msgspec.json.encode(held.order), msgspec.json.encode(message.contacts)))
    assert msgspec.json.decode(msgspec.json.encode(held.order), type=Order) == held.order
    return read


def test_ten_thousand_random_orders_are_answered_with_exact_sums() -> None:
    chance = Random(20_260_301)
    digits: set[int] = set()
    sizes: set[int] = set()
    extreme = free = 0
    for _ in range(ORDERS):
        sent = body(chance)
        read = _answered(sent)
        lines = [item["quantity"] * item["unitPrice"] for item in sent["items"]]
        assert [item["total"] for item in read["items"]] == lines
        assert read["subtotal"] == sum(lines)
        total = sum(lines) + sent.get("shippingCost", 0) + sent.get("tax", 0) - sent.get("discount", 0)
        assert read["total"] == total
        assert read["status"] == ("confirmed" if total == 0 else "pending")
        digits.add(EXPONENTS[sent["currency"]])
        sizes.add(len(lines))
        extreme += total > 2**52
        free += total == 0
    assert digits == {0, 2, 3}
    assert {1, 200} <= sizes
    assert min(extreme, free) > 100


@pytest.mark.parametrize("currency", ["JPY", "EUR", "KWD"])
def test_an_amount_means_the_same_in_any_number_of_decimals(currency: str) -> None:
    unit = Fraction(1, 10 ** EXPONENTS[currency])
    sent = _order([(3, 33_333), (1, 1)], currency=currency, shippingCost=1, tax=2, discount=3)
    assert _answered(sent)["total"] * unit == (3 * 33_333 + 1 + 1 + 2 - 3) * unit


@given(
    items=st.lists(st.tuples(st.integers(1, 1_000_000), st.integers(0, MAX_AMOUNT)), min_size=1, max_size=200),
    extras=st.dictionaries(st.sampled_from(["shippingCost", "tax", "discount"]), st.integers(0, MAX_AMOUNT)),
    currency=st.sampled_from([code for codes in CURRENCIES.values() for code in codes]),
)
@settings(max_examples=300, deadline=None)
def test_a_sum_is_exact_or_the_order_is_refused(
    items: list[tuple[int, int]], extras: dict[str, int], currency: str
) -> None:
    subtotal = sum(quantity * price for quantity, price in items)
    total = subtotal + extras.get("shippingCost", 0) + extras.get("tax", 0) - extras.get("discount", 0)
    sent = _order(items, currency=currency, **extras)
    if subtotal <= MAX_AMOUNT and 0 <= total <= MAX_AMOUNT:
        assert (_answered(sent)["subtotal"], _answered(sent)["total"]) == (subtotal, total)
    else:
        with pytest.raises(Unsound):
            _answered(sent)


@pytest.mark.parametrize(
    ("items", "extras"),
    [
        ([(1, MAX_AMOUNT), (1, 1)], {}),
        ([(1, MAX_AMOUNT), (1, 1)], {"discount": 1}),
        ([(1, MAX_AMOUNT)], {"tax": 1}),
        ([(2, MAX_AMOUNT // 2 + 1)], {"discount": 1}),
        ([(1, 5)], {"discount": 6}),
    ],
)
def test_one_minor_unit_too_many_is_refused(items: list[tuple[int, int]], extras: dict[str, int]) -> None:
    with pytest.raises(Unsound):
        _answered(_order(items, currency="EUR", **extras))


def test_the_last_minor_unit_fits() -> None:
    read = _answered(_order([(1, MAX_AMOUNT)], currency="JPY", shippingCost=MAX_AMOUNT, discount=MAX_AMOUNT))
    assert read["total"] == read["subtotal"] == read["items"][0]["total"] == 9007199254740991


def _order(items: list[tuple[int, int]], **more: Any) -> dict[str, Any]:
    lines = [
        {"productId": f"p{n}", "name": "Thing", "quantity": quantity, "unitPrice": price}
        for n, (quantity, price) in enumerate(items)
    ]
    return {"userId": "ada", "items": lines, "shippingAddress": ADDRESS, **more}
