"""Each field times each class of fault: refused with the place of the fault, and unknown to the service."""

from __future__ import annotations

import http.client
from collections import Counter

from .corpus import BODIES, spoiled
from .recorder import Recorder
from .wire import JSON, Answer, Served


def test_every_spoiled_field_is_refused_at_its_place_and_none_reaches_the_service(
    api: Served, orders: Recorder
) -> None:
    wrong: list[str] = []
    count: Counter[str] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    for request in spoiled():
        connection.request(request.method, request.target, request.body, JSON)
        answer = Answer(connection.getresponse())
        count[request.name.split()[0]] += 1
        try:
            faults = answer.faults()
        except AssertionError as error:
            wrong.append(f"{request.name}: {error}")
            continue
        if set(faults) != {request.pointer} or not all(faults.values()):
            wrong.append(f"{request.name}: {faults} instead of {request.pointer!r}")
    connection.close()
    assert not wrong, "\n".join(wrong)
    assert count.total() >= 1_000
    assert set(count) == {name for name, *_ in BODIES}
    assert orders.asked == []


def test_the_bodies_that_are_spoiled_are_sound_before(api: Served, orders: Recorder) -> None:
    for name, method, target, body, _ in BODIES:
        assert api.post(target, body, method=method).status == 200, name
    assert len(orders.asked) == len(BODIES)


def test_all_faults_of_a_body_are_told_at_once(api: Served, orders: Recorder) -> None:
    answer = api.post(
        "/api/v1/orders",
        {
            "userId": "a b",
            "currency": "EURO",
            "items": [{"productId": "", "name": 1, "quantity": 0, "price": 1}, {"quantity": "2"}, 7],
            "shippingAddress": {"name": "Ada", "country": "UK", "zip/code": "1"},
            "billingAddress": {"line1": None, "email": "x" * 255},
            "paymentMethod": {"token": ""},
            "tax": -1,
            "discount": 1.0,
            "metadata": {"k" * 65: "v", "ok": 1, "long": "v" * 513},
            "extra": True,
        },
    )
    assert answer.faults() == {
        "/userId": "must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -",
        "/currency": "is not a code that is known",
        "/items/0/productId": "must not be empty",
        "/items/0/name": "must be a string",
        "/items/0/quantity": "must be at least 1",
        "/items/0/unitPrice": "is required",
        "/items/0/price": "is not a known member",
        "/items/1/productId": "is required",
        "/items/1/name": "is required",
        "/items/1/quantity": "must be an integer, written without fraction or exponent",
        "/items/1/unitPrice": "is required",
        "/items/2": "must be an object",
        "/shippingAddress/line1": "is required",
        "/shippingAddress/city": "is required",
        "/shippingAddress/postalCode": "is required",
        "/shippingAddress/country": "is not a code that is known",
        "/shippingAddress/zip~1code": "is not a known member",
        "/billingAddress/name": "is required",
        "/billingAddress/line1": "must be a string",
        "/billingAddress/city": "is required",
        "/billingAddress/postalCode": "is required",
        "/billingAddress/country": "is required",
        "/billingAddress/email": "must have at most 254 characters",
        "/paymentMethod/token": "must not be empty",
        "/tax": "must be at least 0",
        "/discount": "must be an integer, written without fraction or exponent",
        f"/metadata/{'k' * 65}": "as a name must have at most 64 characters",
        "/metadata/ok": "must be a string",
        "/metadata/long": "must have at most 512 characters",
        "/extra": "is not a known member",
    }
    assert answer.json()["detail"] == "30 faults were found. Nothing was done."
    assert orders.asked == []


def test_a_refusal_never_repeats_what_was_sent(api: Served) -> None:
    secret = "tok_very_secret" * 20
    answer = api.post("/api/v1/orders", {"paymentMethod": {"token": secret}, "notes": [secret], "tax": secret})
    assert "/paymentMethod/token" in answer.faults()
    assert b"secret" not in answer.body


def test_more_faults_than_anybody_reads_are_cut_off_and_counted(api: Served, orders: Recorder) -> None:
    answer = api.post("/api/v1/orders", {f"x{n}": n for n in range(15_000)})
    faults = answer.faults()
    assert faults[""] == "has more than 100 members"
    assert faults["/userId"] == "is required"
    assert len(faults) == 1 + 4 + 100
    assert orders.asked == []
