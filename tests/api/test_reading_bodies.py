"""What counts as a JSON body at all: its declaration, size, depth and text; and numbers that are only nearly right."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from order_service.api import explain
from order_service.api.exchange import MAX_BODY
from order_service.api.refusals import ValidationFailed
from order_service.api.routes import CREATE

from .corpus import ORDER, ORDERS
from .recorder import Recorder
from .wire import JSON, Served, read

# --- how it is declared


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json ; x=1",
    ],
)
def test_json_may_be_declared_with_parameters(
    api: Served, orders: Recorder, order: dict[str, Any], media_type: str
) -> None:
    assert api.post(ORDERS, order, {"Content-Type": media_type}).status == 200
    assert len(orders.asked) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/xml"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "application/json-patch+json"},
        {"Content-Type": "application/merge-patch+json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "text/json"},
        {"Content-Type": "application/json, text/plain"},
        {**JSON, "Content-Encoding": "gzip"},
        {**JSON, "Content-Encoding": "br"},
        {**JSON, "Content-Encoding": "identity, gzip"},
    ],
)
def test_anything_but_plain_json_is_415(
    api: Served, orders: Recorder, order: dict[str, Any], headers: dict[str, str]
) -> None:
    answer = api.request("POST", ORDERS, json.dumps(order).encode(), headers)
    assert answer.problem() == (415, "unsupported-media-type")
    assert orders.asked == []


def test_a_media_type_that_comes_twice_is_not_believed(api: Served, orders: Recorder) -> None:
    head = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    answer = api.raw((head + "Content-Type: application/json\r\n" * 2 + "\r\n{}").encode())
    assert answer.problem() == (415, "unsupported-media-type")
    assert orders.asked == []


def test_a_body_sent_as_it_is_may_say_so(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    assert api.post(ORDERS, order, {"Content-Encoding": "identity"}).status == 200
    assert len(orders.asked) == 1


def test_a_command_without_a_body_needs_no_media_type(api: Served, orders: Recorder) -> None:
    assert api.request("POST", f"{ORDER}/cancel").status == 200
    assert api.request("POST", f"{ORDER}/cancel", b"", {"Content-Type": "text/plain"}).status == 200
    assert len(orders.asked) == 2


def test_a_command_with_a_body_needs_it(api: Served, orders: Recorder) -> None:
    assert api.request("POST", f"{ORDER}/cancel", b"{}").problem() == (415, "unsupported-media-type")
    assert orders.asked == []


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PUT", "status"), ("POST", "refunds")])
def test_where_a_body_is_needed_none_is_no_json(api: Served, orders: Recorder, method: str, path: str) -> None:
    target = f"{ORDER}/{path}" if path else ORDERS
    assert api.post(target, b"", method=method).problem() == (400, "malformed-json")
    assert orders.asked == []


# --- how long it is


def padded(order: dict[str, Any], size: int) -> bytes:
    raw = json.dumps(order).encode()
    return raw + b" " * (size - len(raw))


def chunked(data: bytes, piece: int = 5_000) -> bytes:
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


HEAD = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_a_body_of_exactly_256_kib_is_read(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    assert MAX_BODY == 262_144
    assert api.post(ORDERS, padded(order, MAX_BODY)).status == 200
    chunks = HEAD + "Transfer-Encoding: chunked\r\n\r\n"
    assert api.raw(chunks.encode() + chunked(padded(order, MAX_BODY))).status == 200
    assert len(orders.asked) == 2


@pytest.mark.parametrize("size", [MAX_BODY + 1, 1_000_000, 7_000_000])
def test_one_byte_more_is_413_with_and_without_a_declared_length(
    api: Served, orders: Recorder, order: dict[str, Any], size: int
) -> None:
    body = padded(order, size)
    answer = api.post(ORDERS, body)
    assert answer.problem() == (413, "body-too-large")
    assert answer.json()["limit"] == MAX_BODY
    chunks = HEAD + "Transfer-Encoding: chunked\r\n\r\n"
    assert api.raw(chunks.encode() + chunked(body)).problem() == (413, "body-too-large")
    assert orders.asked == []


def test_a_refused_body_is_read_to_its_end_so_that_the_connection_lives_on(
    api: Served, orders: Recorder, order: dict[str, Any]
) -> None:
    body = padded(order, 2_000_000)
    with api.connect() as connection:
        for _ in range(2):
            connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert read(connection).problem() == (413, "body-too-large")
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read(connection).status == 200


def test_an_endless_body_is_cut_off(api: Served, orders: Recorder) -> None:
    piece = b"%x\r\n%b\r\n" % (65_536, b" " * 65_536)
    sent = 0
    with api.connect() as connection:
        connection.sendall((HEAD + "Transfer-Encoding: chunked\r\n\r\n").encode())
        with pytest.raises(OSError):  # noqa: PT012 - the cut comes in the middle of any of the sends
            while sent < 200_000_000:
                connection.sendall(piece)
                sent += 65_536
    assert sent < 50_000_000
    assert orders.asked == []


def test_a_client_that_asks_first_is_not_told_to_send_a_body_that_is_too_large(api: Served) -> None:
    with api.connect() as connection:
        connection.sendall(f"{HEAD}Expect: 100-continue\r\nContent-Length: 300000\r\n\r\n".encode())
        assert connection.recv(13, socket.MSG_PEEK) == b"HTTP/1.1 413 "
        answer = read(connection)
        assert answer.problem() == (413, "body-too-large")
        assert answer.headers["connection"] == "close"


def test_a_client_that_asks_first_may_send_a_good_body(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    body = json.dumps(order).encode()
    with api.connect() as connection:
        connection.sendall(f"{HEAD}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read(connection).status == 200
    assert len(orders.asked) == 1


# --- how it is written


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"{",
        b"}",
        b'{"a"}',
        b"{'userId': 'ada'}",
        b'{"userId": "ada",}',
        b'{"userId": "ada"} x',
        b'{"userId": "ada"}{}',
        b'{"tax": 01}',
        b'{"tax": +1}',
        b'{"tax": .5}',
        b'{"tax": 1.}',
        b'{"tax": 0x10}',
        b'{"tax": NaN}',
        b'{"tax": Infinity}',
        b'{"tax": -Infinity}',
        b'{"tax": nan}',
        b'{"tax": True}',
        b'{"tax": undefined}',
        b'{"userId": "a\nb"}',
        b'{"userId": "a\x00b"}',
        b'{"userId": "\\x41"}',
        b'{"userId": "\\u12"}',
        b'{"userId": "\\ud800"}',
        b'{"userId": "\\udc00\\ud800"}',
        b'{"\\ud83d": 1}',
        b'{"userId": "\xff"}',
        b'{"userId": "\xc0\xaf"}',
        b'{"userId": "\xed\xa0\x80"}',
        b'{"\xe9": 1}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        '{"userId": "ada"}'.encode("utf-16"),
        b"// comment\n{}",
        b'{"userId": /* ada */ "ada"}',
        b"\x1f\x8b\x08\x00",
        b"a=b&c=d",
        b"<order/>",
        b"\x00",
        b"[" * 100_000,
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 40_000,
        b'{"a":[' * 17 + b"1" + b"]}" * 17,
        b'{"userId":' + b"[" * 40 + b'"]]"' + b"]" * 40 + b"}",
        b'{"metadata":' * 10_000 + b"1" + b"}" * 10_000,
        b"[}" * 50,
        b"]" * 50 + b"[" * 50,
    ],
)
def test_what_is_not_json_is_400(api: Served, orders: Recorder, body: bytes) -> None:
    assert api.post(ORDERS, body).problem() == (400, "malformed-json")
    assert api.post(f"{ORDER}/cancel", body).problem() == (400, "malformed-json")
    assert orders.asked == []


def test_bad_text_after_a_wrong_type_is_still_no_json(api: Served, orders: Recorder) -> None:
    assert api.post(ORDERS, b'{"userId": 1, "notes": "\xff"}').problem() == (400, "malformed-json")
    assert api.post(ORDERS, b'{"userId": 1, "notes": NaN}').problem() == (400, "malformed-json")
    assert api.post(ORDERS, b'{"userId": 1, "notes": "\\ud800"}').problem() == (400, "malformed-json")
    assert orders.asked == []


def test_32_levels_are_not_too_deep_and_brackets_in_text_do_not_count(
    api: Served, orders: Recorder, order: dict[str, Any]
) -> None:
    deep = b'{"userId":' + b"[" * 31 + b"]" * 31 + b"}"
    assert api.post(ORDERS, deep).faults()["/userId"] == "must be a string"
    order["notes"] = '[{"' * 500 + "\\"
    assert api.post(ORDERS, order).status == 200
    assert orders.asked[0][2].contacts.notes == order["notes"]


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"1", b"true", b"1.5", b"-0", b"1e999"])
def test_what_is_json_but_no_object_is_a_fault_of_the_whole(api: Served, orders: Recorder, body: bytes) -> None:
    for target in (ORDERS, f"{ORDER}/payment", f"{ORDER}/cancel"):
        assert api.post(target, body).faults() == {"": "must be an object"}
    assert orders.asked == []


def test_escapes_spaces_and_every_script_come_through_as_they_are(
    api: Served, orders: Recorder, order: dict[str, Any]
) -> None:
    text = 'Zoë "Zo" 李\\ \U0001f600\t\u2028 \x7f é'
    order["notes"] = text
    order["metadata"] = {'a "b"\\': "\\u0000", "ключ": "\\"}
    for raw in (json.dumps(order), json.dumps(order, ensure_ascii=False, indent=3)):
        assert api.post(ORDERS, raw.encode()).status == 200
    for _, _, message in orders.asked:
        assert message.contacts.notes == text
        assert message.metadata == order["metadata"]
    assert len(orders.asked) == 2


@pytest.mark.parametrize("number", ["-0", "0"])
def test_zero_is_zero(api: Served, orders: Recorder, order: dict[str, Any], number: str) -> None:
    raw = json.dumps(order).replace('"tax": 0', f'"tax": {number}').encode()
    assert api.post(ORDERS, raw).status == 200
    assert orders.asked[0][2].tax == 0


# --- members


def test_a_repeated_member_is_refused_however_it_is_written(api: Served, orders: Recorder) -> None:
    raw = json.dumps({"reason": "first"}).encode()
    for twin in (
        b'"reason": "first"',
        b'"reason": null',
        b'"re\\u0061son": "x"',
        b'"reason": "\\\\"',
        b'"reason":"\\""',
    ):
        body = raw[:-1] + b", " + twin + b"}"
        assert api.post(f"{ORDER}/cancel", body).faults() == {"/reason": "appears more than once"}
        body = b"{" + twin + b", " + raw[1:]
        assert api.post(f"{ORDER}/cancel", body).faults() == {"/reason": "appears more than once"}
    assert orders.asked == []


def test_repeated_names_in_metadata_are_refused_too(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    raw = json.dumps(order).replace('"channel": "web"', '"channel": "web", "a/b": "1", "a/b": "2"').encode()
    assert api.post(ORDERS, raw).faults() == {"/metadata/a~1b": "appears more than once"}
    assert orders.asked == []


@pytest.mark.parametrize("place", ["notes", "userId"])
def test_a_nul_is_refused_raw_and_escaped(api: Served, orders: Recorder, order: dict[str, Any], place: str) -> None:
    order[place] = "a@@b"
    raw = json.dumps(order).encode()
    answer = api.post(ORDERS, raw.replace(b"@@", b"\\u0000"))
    assert {"pointer": f"/{place}", "detail": "must not contain a NUL character"} in answer.json()["errors"]
    assert api.post(ORDERS, raw.replace(b"@@", b"\0")).problem() == (400, "malformed-json")
    assert orders.asked == []


def test_a_nul_in_a_name_of_metadata_is_refused(api: Served, orders: Recorder, order: dict[str, Any]) -> None:
    order["metadata"] = {"a\0b": "1"}
    assert api.post(ORDERS, order).faults() == {"/metadata/a\0b": "is a name with a NUL character"}
    assert orders.asked == []


def test_null_stands_for_an_absent_text_or_object_but_for_no_amount(
    api: Served, orders: Recorder, order: dict[str, Any]
) -> None:
    order |= {"billingAddress": None, "paymentMethod": None, "notes": None}
    order["shippingAddress"] |= {"line2": None, "region": None, "phone": None, "email": None}
    order["items"][0]["sku"] = None
    assert api.post(ORDERS, order).status == 200
    assert orders.asked[0][2].token is None
    order |= {"tax": None, "discount": None, "shippingCost": None, "metadata": None}
    assert set(api.post(ORDERS, order).faults()) == {"/tax", "/discount", "/shippingCost", "/metadata"}


# --- what it may cost


def test_no_body_within_the_limit_holds_up_the_others_for_long(api: Served) -> None:
    filler = {
        "numbers": b'{"items":[' + b"0," * 131_000 + b"0]}",
        "objects": b'{"items":[' + b"{}," * 87_000 + b"{}]}",
        "brackets": b'{"items":[' + b"[]," * 87_000 + b"[]]}",
        "repeats": b"{" + b'"a":0,' * 43_000 + b'"a":0}',
        "names": b'{"metadata":{' + b",".join(b'"%070d":0' % n for n in range(3_000)) + b"}}",
        "digits": b'{"notes":"' + b"4 " * 130_000 + b'"}',
        "deep": b'{"items":[' + b",".join([b"[" * 30 + b"]" * 30] * 4_000) + b"]}",
    }
    plainly = _cpu_s(lambda: json.loads(filler["deep"]))
    for name, body in filler.items():
        assert len(body) <= MAX_BODY
        assert api.post(ORDERS, body).problem()[0] in (400, 422), name

        def refuse(body: bytes = body) -> None:
            with pytest.raises(ValidationFailed):
                CREATE.read(body)

        assert _cpu_s(refuse) < 20 * plainly, f"{name}: what the standard library takes for the costliest, 20 times"


def _cpu_s(work: Callable[[], object]) -> float:
    """The least of three tries: seconds of this process, whatever else the machine does."""
    taken = []
    for _ in range(3):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def test_a_body_of_very_many_values_is_refused_as_a_whole(api: Served, orders: Recorder) -> None:
    body = {"items": [{f"m{n}": n for n in range(40)}] * 150}
    assert api.post(ORDERS, body).faults() == {"": "holds more than 4000 values, more than any request needs"}
    assert orders.asked == []


def test_a_full_order_stays_within_the_values_that_are_looked_at() -> None:
    members_of_a_line, addresses, rest = 6, 2 * 10, 12 + 50
    assert 2 * (200 * members_of_a_line + addresses + rest) < explain.MAX_VALUES
