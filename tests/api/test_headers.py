"""The headers that frame a request: keys, versions, correlation and trace ids."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from .corpus import ORDER, ORDERS
from .recorder import Recorder
from .wire import Served

NEW_ID = re.compile("[0-9a-f]{32}")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("key", ["a", "x" * 255, "0198-a~!\"'{}", "8e03978e-40d5-43e8-bc93-6894a57f9324"])
def test_a_key_is_passed_on_with_the_fingerprint_of_the_request(api: Served, orders: Recorder, key: str) -> None:
    body = b'{"reason": "twice"}'
    assert api.post(f"{ORDER}/cancel", body, {"Idempotency-Key": key}).status == 200
    [(_, ask, _, _)] = orders.asked
    assert ask.key == key
    assert ask.fingerprint == hashlib.sha256(b"POST\0" + f"{ORDER}/cancel".encode() + b"\0" + body).digest()


def test_the_fingerprint_tells_bodies_and_paths_apart(api: Served, orders: Recorder) -> None:
    key = {"Idempotency-Key": "k"}
    api.post(f"{ORDER}/cancel", b"{}", key)
    api.post(f"{ORDER}/cancel", b"{} ", key)
    api.post(f"{ORDER}/payment", b"{}", key)
    api.post(f"{ORDER[:-1]}0/cancel", b"{}", key)
    api.post(f"{ORDER}/cancel", b"{}", key)
    prints = [ask.fingerprint for _, ask, _, _ in orders.asked]
    assert len(prints) == 5
    assert len(set(prints)) == 4
    assert prints[0] == prints[4]


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "a\tb", "schl\xfcssel"])
def test_what_cannot_be_a_key_is_refused(api: Served, orders: Recorder, order: dict[str, Any], key: str) -> None:
    assert api.post(ORDERS, order, {"Idempotency-Key": key}).problem() == (400, "invalid-idempotency-key")
    assert orders.asked == []


def test_two_keys_are_none(api: Served, orders: Recorder) -> None:
    head = f"POST {ORDER}/cancel HTTP/1.1\r\nHost: x\r\n" + "Idempotency-Key: a\r\n" * 2 + "\r\n"
    assert api.raw(head.encode()).problem() == (400, "invalid-idempotency-key")
    assert orders.asked == []


@pytest.mark.parametrize(
    ("value", "version"), [('"1"', 1), ('"42"', 42), ('"999999999999999"', 999999999999999), ("*", None)]
)
def test_the_version_that_a_client_has_seen_is_passed_on(
    api: Served, orders: Recorder, value: str, version: int | None
) -> None:
    assert api.request("POST", f"{ORDER}/cancel", None, {"If-Match": value}).status == 200
    assert orders.asked[0][1].if_match == version


@pytest.mark.parametrize(
    "value",
    ["1", '"0"', '"01"', '"-1"', '"1.0"', '"a"', 'W/"1"', '"1", "2"', '""', "", "**", '"9999999999999999"', "'1'"],
)
def test_what_is_no_version_of_ours_is_refused(api: Served, orders: Recorder, value: str) -> None:
    answer = api.request("POST", f"{ORDER}/cancel", None, {"If-Match": value})
    assert answer.problem() == (400, "invalid-if-match")
    assert orders.asked == []


def test_a_new_order_has_no_version_to_match(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    assert api.post(ORDERS, order, {"If-Match": '"7"'}).status == 200
    assert orders.asked[0][1].if_match is None


@pytest.mark.parametrize("given", ["a", "Order_7.retry-2", "x" * 128])
def test_a_correlation_id_is_kept_and_sent_back(api: Served, orders: Recorder, given: str) -> None:
    answer = api.request("POST", f"{ORDER}/cancel", None, {"X-Correlation-Id": given})
    assert answer.headers["x-correlation-id"] == given
    assert orders.asked[0][1].correlation_id == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a;b", "\xe9", '{"a":1}', "a/b"])
def test_one_that_could_do_harm_in_a_log_is_replaced(api: Served, orders: Recorder, given: str) -> None:
    answer = api.request("POST", f"{ORDER}/cancel", None, {"X-Correlation-Id": given})
    assert NEW_ID.fullmatch(answer.headers["x-correlation-id"])
    assert orders.asked[0][1].correlation_id == answer.headers["x-correlation-id"]


def test_every_answer_has_an_id_of_its_own(api: Served) -> None:
    targets = ["/livez", "/nowhere", ORDER, f"{ORDER}/history", "/docs", "/openapi.json", "/health", f"{ORDERS}/x"]
    ids = [api.get(target).headers["x-correlation-id"] for target in targets]
    ids.append(api.request("OPTIONS", ORDER).headers["x-correlation-id"])
    ids.append(api.request("DELETE", ORDER).headers["x-correlation-id"])
    assert all(NEW_ID.fullmatch(found) for found in ids)
    assert len(set(ids)) == len(ids)


def test_a_trace_context_is_passed_on(api: Served, orders: Recorder) -> None:
    api.request("POST", f"{ORDER}/cancel", None, {"traceparent": TRACE})
    assert orders.asked[0][1].traceparent == TRACE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        TRACE.upper(),
        TRACE + "-more",
        "ff" + TRACE[2:],
        "00-" + "0" * 32 + TRACE[35:],
        TRACE[:36] + "0" * 16 + "-01",
        TRACE[:-1],
        TRACE + "\xe9",
    ],
)
def test_a_broken_trace_context_is_dropped_and_does_no_harm(api: Served, orders: Recorder, value: str) -> None:
    assert api.request("POST", f"{ORDER}/cancel", None, {"traceparent": value}).status == 200
    assert orders.asked[0][1].traceparent is None
