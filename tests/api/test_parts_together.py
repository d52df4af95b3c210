"""Members that are right one by one, but not together: sums, bounds of a whole order, shipments."""

from __future__ import annotations

from typing import Any

from .corpus import ORDER, ORDERS
from .recorder import Recorder
from .wire import Served

BIG = 2**53 - 1


def test_the_largest_amounts_that_fit_are_accepted(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    order |= {"shippingCost": 0, "tax": BIG, "discount": BIG}
    order["items"] = [{"productId": "p", "name": "n", "quantity": 1, "unitPrice": BIG}]
    assert api.post(ORDERS, order).status == 200
    order |= {"tax": 0, "discount": BIG}
    assert api.post(ORDERS, order).status == 200
    assert len(orders.asked) == 2


def test_sums_out_of_bounds_are_refused_where_they_arise(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    line = {"productId": "p", "name": "n", "quantity": 1, "unitPrice": BIG}
    amounts = {"shippingCost": 0, "tax": 0, "discount": 0}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"items": [{**line, "quantity": 2}]}, "/items/0"),
        ({"items": [{**line, "unitPrice": 1}, {**line, "quantity": 1_000_000}]}, "/items/1"),
        ({"items": [line, line]}, "/items"),
        ({"items": [line], "discount": BIG, "shippingCost": BIG, "tax": 1}, ""),
        ({"items": [line], "tax": 1}, ""),
        ({"items": [{**line, "unitPrice": 5}], "discount": 6}, "/discount"),
        ({"items": [{**line, "unitPrice": 0}], "discount": BIG, "tax": 1}, "/discount"),
    ]
    for spoiled, pointer in cases:
        assert list(api.post(ORDERS, order | amounts | spoiled).faults()) == [pointer], spoiled
    assert orders.asked == []


def test_an_order_of_nothing_to_pay_is_accepted(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    order |= {"shippingCost": 0, "tax": 0, "discount": 10}
    order["items"] = [{"productId": "p", "name": "n", "quantity": 1, "unitPrice": 10}]
    assert api.post(ORDERS, order).status == 200


def test_the_bounds_themselves_are_accepted(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    item = {"productId": "p" * 128, "sku": "s" * 128, "quantity": 1_000_000, "unitPrice": 1}
    order["userId"] = "aZ09._:@-" + "a" * 119
    order["paymentMethod"] = {"token": "t" * 255}
    order["notes"] = "ü" * 2000
    order["metadata"] = {f"{n:064}": "v" * 512 for n in range(50)}
    order["items"] = [{**item, "name": "n" * 500}] * 200
    assert api.post(ORDERS, order).status == 200
    assert len(orders.asked[0][2].items) == 200


def test_a_shipment_belongs_to_shipped_alone(api: Served, orders: Recorder) -> None:
    shipment = {"carrier": "P", "trackingNumber": "1"}
    for status in ("processing", "delivered", "cancelled", "refunded", "pending"):
        answer = api.post(f"{ORDER}/status", {"status": status, "shipment": shipment}, method="PUT")
        assert answer.faults() == {"/shipment": "is allowed only with the status shipped"}
    assert orders.asked == []
    assert api.post(f"{ORDER}/status", {"status": "shipped", "shipment": shipment}, method="PUT").status == 200
