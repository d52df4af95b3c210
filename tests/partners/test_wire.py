"""What goes out to a partner: the bytes, the headers, the time it gets, and how long it may put us off."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import msgspec
import pytest
from partner_rig import Heard, RawServer, http, items, partners_at, raw_server, saying, silence

from order_service.core.answers import Answer, CallKind, Released, Unanswered
from order_service.core.requests import (
    REQUEST_TYPES,
    ChargeRequest,
    ClearCartRequest,
    CommitRequest,
    PaymentMethod,
    ReadPaymentRequest,
    ReadRefundRequest,
    RefundRequest,
    ReleaseRequest,
    Request,
    ReserveRequest,
    VoidRequest,
    decode_request,
    encode_request,
    kind_of,
)
from order_service.partners import dispatch_call, open_partners

RELEASE = ReleaseRequest("res-1", "order-1")

OUTGOING: list[tuple[Request, str, str, bytes]] = [
    (
        ReserveRequest("res-1", "order-1", items(("a", 2), ("ä", 1))),
        "POST",
        "/api/v1/inventory/reservations",
        '{"reservationId":"res-1","orderId":"order-1",'
        '"items":[{"productId":"a","quantity":2},{"productId":"ä","quantity":1}]}'.encode(),
    ),
    (RELEASE, "POST", "/api/v1/inventory/reservations/res-1/release", b'{"orderId":"order-1"}'),
    (
        CommitRequest("res/1?x#y%z", "order-1"),
        "POST",
        "/api/v1/inventory/reservations/res%2F1%3Fx%23y%25z/commit",
        b'{"orderId":"order-1"}',
    ),
    (
        ClearCartRequest("..", "order-1", items(("a", 2))),
        "POST",
        "/api/v1/carts/%2E%2E/clear",
        b'{"orderId":"order-1","items":[{"productId":"a","quantity":2}]}',
    ),
    (
        ChargeRequest("order-1", "pay-1", 1250, "EUR", PaymentMethod("tok_visa")),
        "POST",
        "/api/v1/payments",
        b'{"orderId":"order-1","reference":"pay-1","amount":1250,"currency":"EUR",'
        b'"paymentMethod":{"token":"tok_visa"},"captureMethod":"automatic"}',
    ),
    (VoidRequest("pay-1", 1250, "EUR"), "POST", "/api/v1/payments/void", b'{"reference":"pay-1"}'),
    (
        ReadPaymentRequest("pay-1&x=ü", None, 1250, "EUR"),
        "GET",
        "/api/v1/payments?reference=pay-1%26x%3D%C3%BC",
        b"",
    ),
    (ReadPaymentRequest("pay-1", "p1", 1250, "EUR"), "GET", "/api/v1/payments/p1", b""),
    (
        RefundRequest("../void", "ref-1", 400, 'a "dent"'),
        "POST",
        "/api/v1/payments/..%2Fvoid/refunds",
        b'{"reference":"ref-1","amount":400,"reason":"a \\"dent\\""}',
    ),
    (ReadRefundRequest("p1", "ref-1", 400), "GET", "/api/v1/payments/p1", b""),
]


async def send(url: str, request: Request, *, deadline_s: float = 10.0, correlation_id: str = "") -> Answer:
    """Make one call over a session of its own."""
    partners = partners_at(url)
    try:
        return await dispatch_call(
            partners,
            kind_of(request),
            encode_request(request),
            "key-1",
            timeout_s=deadline_s,
            correlation_id=correlation_id,
        )
    finally:
        await partners.close()


def heard_of(request: Request, *, correlation_id: str = "", times: int = 1) -> list[Heard]:
    """What a partner that is never ready hears of so many sends of this request."""

    async def hear() -> RawServer:
        async with raw_server(saying(http(503))) as server:
            for _ in range(times):
                assert await send(server.url, request, correlation_id=correlation_id) == Unanswered("status 503")
            return server

    return asyncio.run(hear()).heard


@pytest.mark.parametrize(
    ("request_", "method", "target", "body"), OUTGOING, ids=[f"{kind_of(o[0])} {o[2]}" for o in OUTGOING]
)
def test_a_call_goes_to_its_place_with_exactly_these_bytes_each_time(
    request_: Request, method: str, target: str, body: bytes
) -> None:
    heard = heard_of(request_, times=2)

    assert [(one.method, one.target, one.body) for one in heard] == [(method, target, body)] * 2


def test_every_kind_of_call_is_tried_here() -> None:
    assert set(REQUEST_TYPES) == set(CallKind)
    assert {type(request) for request, *_ in OUTGOING} == set(REQUEST_TYPES.values())


@pytest.mark.parametrize("kind", CallKind)
def test_every_kind_of_call_goes_out_through_the_door(kind: CallKind) -> None:
    request = next(request for request, *_ in OUTGOING if type(request) is REQUEST_TYPES[kind])

    async def ask() -> Answer:
        async with raw_server(saying(http(503))) as server:
            partners = partners_at(server.url)
            answer = await dispatch_call(partners, kind, encode_request(request), "key-1", timeout_s=10)
            await partners.close()
            return answer

    assert asyncio.run(ask()) == Unanswered("status 503")


@pytest.mark.parametrize("request_", [o[0] for o in OUTGOING], ids=lambda request: kind_of(request))
def test_a_stored_request_reads_back_as_it_was(request_: Request) -> None:
    assert decode_request(kind_of(request_), encode_request(request_)) == request_


def test_a_write_carries_its_key_and_what_it_accepts_and_no_more_than_it_should() -> None:
    (heard,) = heard_of(RELEASE, correlation_id="corr-1")

    host = heard.headers.pop("host")
    assert host.startswith("127.0.0.1:")
    assert heard.headers == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-length": "21",
        "content-type": "application/json",
        "idempotency-key": "key-1",
        "user-agent": "order-service",
        "x-correlation-id": "corr-1",
        "x-request-deadline": "10.000",
    }


def test_a_read_carries_no_key() -> None:
    (heard,) = heard_of(ReadRefundRequest("p1", "ref-1", 400))

    assert "idempotency-key" not in heard.headers
    assert "content-type" not in heard.headers


@pytest.mark.parametrize(
    ("given", "sent"),
    [("a b", "a_b"), ("x\r\nHost: evil", "x__Host:_evil"), ("ü\x00", "__"), ("y" * 500, "y" * 128)],
)
def test_a_correlation_id_cannot_break_out_of_its_header(given: str, sent: str) -> None:
    (heard,) = heard_of(RELEASE, correlation_id=given)

    assert heard.headers["x-correlation-id"] == sent


def test_a_token_does_not_show_when_its_request_is_printed() -> None:
    charge = ChargeRequest("order-1", "pay-1", 1250, "EUR", PaymentMethod("tok_secret"))

    assert "tok_secret" not in repr(charge)
    assert b"tok_secret" in encode_request(charge)


# How long a partner may put us off


def put_off(*headers: str, status: int = 503) -> Answer:
    async def ask() -> Answer:
        async with raw_server(saying(http(status, "", *headers))) as server:
            return await send(server.url, RELEASE)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 12 ", 12.0),
        ("300", 300.0),
        ("301", 300.0),
        ("999999999999", 300.0),
        ("9" * 400, None),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("\u00b2", None),
        ("Mon, 32 Jan 2020 00:00:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
    ],
)
def test_retry_after_is_heard_within_bounds(header: str, wait_s: float | None) -> None:
    assert put_off(f"Retry-After: {header}") == Unanswered("status 503", wait_s)


def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    answer = put_off("Retry-After: " + format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True))

    assert isinstance(answer, Unanswered)
    assert answer.retry_after_s is not None
    assert 0 < answer.retry_after_s <= 200


def test_retry_after_as_a_date_of_another_zone_is_the_same_moment() -> None:
    there = timezone(timedelta(hours=5))
    answer = put_off("Retry-After: " + format_datetime(datetime.now(there) + timedelta(seconds=200)))

    assert isinstance(answer, Unanswered)
    assert answer.retry_after_s is not None
    assert 0 < answer.retry_after_s <= 200


def test_retry_after_is_heard_with_429_and_without_any_it_is_ours_to_choose() -> None:
    assert put_off("Retry-After: 3", status=429) == Unanswered("status 429", 3.0)
    assert put_off() == Unanswered("status 503", None)


# Connections


def test_nobody_at_home_is_no_connection() -> None:
    async def ask() -> Answer:
        async with raw_server(silence) as server:
            gone = server.url
        return await send(gone, RELEASE)

    assert asyncio.run(ask()) == Unanswered("no connection")


@pytest.mark.parametrize("deadline_s", [0.0, -1.0])
def test_a_deadline_that_has_passed_sends_nothing(deadline_s: float) -> None:
    async def ask() -> tuple[Answer, RawServer]:
        async with raw_server(saying(http(200))) as server:
            return await send(server.url, RELEASE, deadline_s=deadline_s), server

    answer, server = asyncio.run(ask())

    assert answer == Unanswered("timeout")
    assert server.heard == []


def test_a_closed_session_answers_that_it_is_closing() -> None:
    async def ask() -> Answer:
        partners = partners_at("http://127.0.0.1:9")
        await partners.close()
        return await dispatch_call(partners, "release", encode_request(RELEASE), "key-1", timeout_s=1)

    assert asyncio.run(ask()) == Unanswered("closing")


def test_one_connection_serves_many_calls() -> None:
    async def ask() -> RawServer:
        async with raw_server(saying(http(200, "{}")), keep_open=True) as server:
            partners = partners_at(server.url)
            for _ in range(20):
                call = dispatch_call(partners, "release", encode_request(RELEASE), "key-1", timeout_s=10)
                assert await call == Released()
            await partners.close()
            return server

    server = asyncio.run(ask())

    assert (len(server.heard), server.connections) == (20, 1)


def test_no_more_connections_are_opened_than_allowed() -> None:
    async def ask() -> RawServer:
        async with raw_server(saying(http(200, "{}")), keep_open=True) as server:
            url = server.url
            partners = open_partners(inventory_url=url, cart_url=url, payment_url=url, connections=3)
            stored = encode_request(RELEASE)
            calls = [dispatch_call(partners, "release", stored, "key-1", timeout_s=10) for _ in range(30)]
            assert await asyncio.gather(*calls) == [Released()] * 30
            await partners.close()
            return server

    server = asyncio.run(ask())

    assert len(server.heard) == 30
    assert server.connections <= 3


@pytest.mark.parametrize(
    "spoilt",
    [http(503, "", length=10**9), http(503, "x", "Content-Encoding: br", length=9), http(503, "x", length=9)],
    ids=["too large", "encoded", "never whole"],
)
def test_a_spoilt_answer_gives_its_connection_up_and_the_next_call_gets_another(spoilt: bytes) -> None:
    async def ask() -> tuple[list[Answer], int]:
        said = [spoilt, http(200, "{}")]

        async def say(writer: asyncio.StreamWriter) -> None:
            writer.write(said.pop(0))

        async with raw_server(say, keep_open=True) as server:
            url = server.url
            partners = open_partners(inventory_url=url, cart_url=url, payment_url=url, connections=1)
            stored = encode_request(RELEASE)
            answers = [await dispatch_call(partners, "release", stored, "k", timeout_s=1) for _ in range(2)]
            await partners.close()
            return answers, server.connections

    assert asyncio.run(ask()) == ([Unanswered("status 503"), Released()], 2)


def test_a_partner_with_a_path_of_its_own_is_found_under_it() -> None:
    async def ask() -> RawServer:
        async with raw_server(saying(http(200))) as server:
            assert await send(server.url + "/shop/", RELEASE) == Released()
            return server

    (heard,) = asyncio.run(ask()).heard

    assert heard.target == "/shop/api/v1/inventory/reservations/res-1/release"


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)


@pytest.mark.usefixtures("proxied")
def test_a_proxy_in_the_environment_is_not_used() -> None:
    (heard,) = heard_of(RELEASE)

    assert heard.target == "/api/v1/inventory/reservations/res-1/release"


def test_a_cookie_is_not_sent_back() -> None:
    async def ask() -> RawServer:
        async with raw_server(saying(http(200, "{}", "Set-Cookie: a=b")), keep_open=True) as server:
            partners = partners_at(server.url)
            for _ in range(2):
                await dispatch_call(partners, "release", encode_request(RELEASE), "key-1", timeout_s=10)
            await partners.close()
            return server

    assert ["cookie" in heard.headers for heard in asyncio.run(ask()).heard] == [False, False]


# Broken rows


def test_a_stored_request_of_another_kind_is_a_broken_row_and_is_not_sent() -> None:
    async def ask() -> RawServer:
        async with raw_server(saying(http(200))) as server:
            partners = partners_at(server.url)
            with pytest.raises(msgspec.DecodeError):
                await dispatch_call(partners, "charge", encode_request(RELEASE), "key-1", timeout_s=10)
            with pytest.raises(ValueError, match="fly"):
                await dispatch_call(partners, "fly", encode_request(RELEASE), "key-1", timeout_s=10)
            await partners.close()
            return server

    assert asyncio.run(ask()).heard == []
