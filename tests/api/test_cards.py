"""Card numbers are refused in free text and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from order_service.api.cards import holds_card_number

from .corpus import ORDER, ORDERS
from .recorder import CALL_ID, Recorder
from .wire import Served

# The published test numbers of the card schemes: none of them is anybody's card.
NUMBERS = [
    "4111111111111111",
    "4012888888881881",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "6011111111111117",
    "3530111333300000",
    "30569309025904",
    "38520000023237",
    "6200000000000005",
]
HARMLESS = [
    "",
    "4111111111111112",
    "4006381333931",
    "5012345678900",
    "+44 20 7946 0000 ext 123",
    "1700000000000",
    "1700000000000000000",
    "0000000000000000",
    "12345678901234567890123",
    "4111111111111111999",
    "41111111111111110",
    "tok_1PqXyZ4111",
    "PC1234567890GB",
    "4111-1111-1111",
    "4111 1111  1111 1111",
    "4.111.111.111.111.111",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_card_number_is_found_however_it_is_grouped(number: str) -> None:
    groups = [number[at : at + 4] for at in range(0, len(number), 4)]
    if len(groups[-1]) < 3:
        groups[-2:] = [groups[-2] + groups[-1]]
    for written in (number, " ".join(groups), "-".join(groups)):
        assert holds_card_number(written)
        assert holds_card_number(f"card: {written}, thanks")
        assert holds_card_number(f"order 12 {written} 1/30")
        assert holds_card_number(f"x{written}y")


@pytest.mark.parametrize("text", HARMLESS)
def test_other_digits_are_not_taken_for_one(text: str) -> None:
    assert not holds_card_number(text)


@pytest.mark.parametrize("number", [NUMBERS[0], "4111 1111 1111 1111", "3782-822463-10005"])
def test_no_free_text_takes_a_card_number(api: Served, orders: Recorder, order: dict[str, Any], number: str) -> None:
    detail = "must not contain a card number"
    text = f"charge {number} please"
    assert api.post(ORDERS, order | {"notes": text}).faults() == {"/notes": detail}
    assert api.post(ORDERS, order | {"metadata": {"a/b": text}}).faults() == {"/metadata/a~1b": detail}
    token = api.post(ORDERS, order | {"paymentMethod": {"token": number}}).faults()
    assert token == {"/paymentMethod/token": "must be a token of the payment service, not a card number"}
    assert api.post(f"{ORDER}/payment", {"paymentMethod": {"token": number}}).faults() == token
    assert api.post(f"{ORDER}/cancel", {"reason": text}).faults() == {"/reason": detail}
    assert api.post(f"{ORDER}/refunds", {"reason": text}).faults() == {"/reason": detail}
    body = {"status": "cancelled", "reason": text}
    assert api.post(f"{ORDER}/status", body, method="PUT").faults() == {"/reason": detail}
    assert api.post(f"{ORDER}/calls/{CALL_ID}/give-up", {"note": text}).faults() == {"/note": detail}
    assert orders.asked == []


def test_product_ids_and_skus_may_look_like_anything(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    order["items"][0] |= {"productId": NUMBERS[0], "sku": NUMBERS[1], "name": f"EAN {NUMBERS[2]}"}
    assert api.post(ORDERS, order).status == 200
    assert len(orders.asked) == 1
