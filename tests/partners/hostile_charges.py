"""Hostile answers to a charge: unreadable, lying, misshapen, broken, indefinite, refused, declined."""

from __future__ import annotations

import gzip
import json

from hostile_asked import BRIEFLY_S, CHARGE, DEEP, GOOD, UNREADABLE, Hostile, paid, raw_amount
from partner_rig import (
    dripping,
    http,
    resetting,
    saying,
    silence,
)

from order_service.core.answers import (
    Lied,
    PaymentState,
    Refused,
    Unanswered,
)

UNREADABLE_CHARGES = [
    Hostile("no body", CHARGE, saying(http(201)), UNREADABLE),
    Hostile("half a body", CHARGE, saying(http(201, GOOD[:40])), UNREADABLE),
    Hostile("html", CHARGE, saying(http(201, "<html>ok</html>", "Content-Type: text/html")), UNREADABLE),
    Hostile("plain words", CHARGE, saying(http(201, "succeeded")), UNREADABLE),
    Hostile("two documents", CHARGE, saying(http(201, GOOD + GOOD)), UNREADABLE),
    Hostile("single quotes", CHARGE, saying(http(201, GOOD.replace('"', "'"))), UNREADABLE),
    Hostile("a trailing comma", CHARGE, saying(http(201, GOOD[:-1] + ",}")), UNREADABLE),
    Hostile("a byte order mark", CHARGE, saying(http(201, b"\xef\xbb\xbf" + GOOD.encode())), UNREADABLE),
    Hostile("utf-16", CHARGE, saying(http(201, GOOD.encode("utf-16"))), UNREADABLE),
    Hostile("NaN", CHARGE, raw_amount("NaN"), UNREADABLE),
    Hostile("Infinity", CHARGE, raw_amount("Infinity"), UNREADABLE),
    Hostile("a hexadecimal amount", CHARGE, raw_amount("0x4e2"), UNREADABLE),
    Hostile("an amount with leading zeros", CHARGE, raw_amount("0001250"), UNREADABLE),
    Hostile("a raw NUL in a string", CHARGE, saying(http(201, GOOD.replace("p1", "p\x00"))), UNREADABLE),
    Hostile("a lone high surrogate", CHARGE, saying(http(201, GOOD.replace("p1", "\\ud800x"))), UNREADABLE),
    Hostile("a lone low surrogate", CHARGE, saying(http(201, GOOD.replace("p1", "\\udc00x"))), UNREADABLE),
    Hostile(
        "invalid utf-8 in a member we read",
        CHARGE,
        saying(http(201, GOOD.encode().replace(b"p1", b"p\xff"))),
        UNREADABLE,
    ),
    Hostile(
        "invalid utf-8 in a member we ignore",
        CHARGE,
        saying(http(201, GOOD[:-1].encode() + b',"note":"\xff"}')),
        UNREADABLE,
    ),
    Hostile("100,000 brackets", CHARGE, saying(http(201, DEEP)), UNREADABLE),
    Hostile("100,000 brackets never closed", CHARGE, saying(http(201, "[" * 100_000)), UNREADABLE),
    Hostile(
        "100,000 brackets in a member we ignore",
        CHARGE,
        saying(http(201, GOOD[:-1] + f',"note":{DEEP}}}')),
        UNREADABLE,
    ),
]

LYING_CHARGES = [
    Hostile("another amount", CHARGE, paid(amount=1251), Lied("amount 1251 instead of 1250")),
    Hostile("amount 0", CHARGE, paid(amount=0), Lied("amount 0 instead of 1250")),
    Hostile(
        "amount 0 of no currency, captured",
        CHARGE,
        paid(amount=0, currency=""),
        Lied("amount 0 instead of 1250"),
    ),
    Hostile("another currency", CHARGE, paid(currency="USD"), Lied("another currency than EUR")),
    Hostile("the currency in small letters", CHARGE, paid(currency="eur"), Lied("another currency than EUR")),
    Hostile("no currency", CHARGE, paid(currency=None), Lied("another currency than EUR")),
    Hostile("another reference", CHARGE, paid(reference="pay-2"), Lied("another reference than asked")),
    Hostile(
        "the reference and a NUL",
        CHARGE,
        paid(reference="pay-1\x00"),
        Lied("another reference than asked"),
    ),
    Hostile(
        "another amount, voided",
        CHARGE,
        paid(status="voided", amount=1),
        Lied("amount 1 instead of 1250"),
    ),
    Hostile(
        "another currency, voided",
        CHARGE,
        paid(status="voided", amount=0, currency="USD"),
        Lied("amount 0 instead of 1250"),
    ),
]

MISSHAPEN_CHARGES = [
    Hostile("an array", CHARGE, saying(http(201, f"[{GOOD}]")), Lied("")),
    Hostile("null", CHARGE, saying(http(201, "null")), Lied("")),
    Hostile("true", CHARGE, saying(http(201, "true")), Lied("")),
    Hostile("an empty object", CHARGE, saying(http(201, "{}")), Lied("")),
    Hostile("wrapped in data", CHARGE, saying(http(201, f'{{"data":{GOOD}}}')), Lied("")),
    Hostile("no amount", CHARGE, paid(amount=...), Lied("")),
    Hostile("no status", CHARGE, paid(status=...), Lied("")),
    Hostile("no reference", CHARGE, paid(reference=...), Lied("")),
    Hostile("no payment id", CHARGE, paid(paymentId=...), Lied("")),
    Hostile("no currency member", CHARGE, paid(currency=...), Lied("")),
    Hostile("snake case", CHARGE, paid(paymentId=..., payment_id="p1"), Lied("")),
    Hostile("an unknown status", CHARGE, paid(status="success"), Lied("")),
    Hostile("a status in capitals", CHARGE, paid(status="SUCCEEDED"), Lied("")),
    Hostile("a status of the wrong type", CHARGE, paid(status=1), Lied("")),
    Hostile("a negative amount", CHARGE, paid(amount=-1250), Lied("")),
    Hostile("an amount in words", CHARGE, paid(amount="1250"), Lied("")),
    Hostile("an amount with a point", CHARGE, raw_amount("1250.0"), Lied("")),
    Hostile("an amount with an exponent", CHARGE, raw_amount("125e1"), Lied("")),
    Hostile("amount true", CHARGE, paid(amount=True), Lied("")),
    Hostile("amount null", CHARGE, paid(amount=None), Lied("")),
    Hostile("amount 1e400", CHARGE, raw_amount("1e400"), Lied("")),
    Hostile("an amount of 10,000 digits", CHARGE, raw_amount("1" * 10_000), Lied("")),
    Hostile("an amount above 2^53", CHARGE, paid(amount=2**53), Lied("")),
    Hostile("payment id null", CHARGE, paid(paymentId=None), Lied("")),
    Hostile("payment id a number", CHARGE, paid(paymentId=17), Lied("")),
    Hostile("payment id empty", CHARGE, paid(paymentId=""), Lied("")),
    Hostile("payment id with an escaped NUL", CHARGE, paid(paymentId="p\x00"), Lied("")),
    Hostile("payment id with a line break", CHARGE, paid(paymentId="p1\n"), Lied("")),
    Hostile("payment id of 201 letters", CHARGE, paid(paymentId="p" * 201), Lied("")),
    Hostile("decline code an object", CHARGE, paid(status="declined", declineCode={}), Lied("")),
]

BROKEN_EXCHANGES = [
    Hostile("a connection that is reset", CHARGE, resetting(), Unanswered("connection lost")),
    Hostile("a connection that is closed", CHARGE, saying(b""), Unanswered("connection lost")),
    Hostile("half a status line", CHARGE, saying(b"HTTP/1.1 20"), Unanswered("connection lost")),
    Hostile(
        "headers that never end in a line",
        CHARGE,
        saying(b"HTTP/1.1 201 Created\r\nContent-Le"),
        Unanswered("connection lost"),
    ),
    Hostile("not HTTP at all", CHARGE, saying(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), Unanswered("not HTTP")),
    Hostile("a status of words", CHARGE, saying(b"HTTP/1.1 OK OK\r\n\r\n"), Unanswered("not HTTP")),
    Hostile("a header of 100 kB", CHARGE, saying(http(201, GOOD, "X: " + "x" * 100_000)), Unanswered("not HTTP")),
    Hostile(
        "100,000 headers",
        CHARGE,
        saying(http(201, GOOD, *(f"X-{number}: x" for number in range(100_000)))),
        Unanswered("not HTTP"),
    ),
    Hostile(
        "two different lengths",
        CHARGE,
        saying(http(201, GOOD, "Content-Length: 3")),
        Unanswered("not HTTP"),
    ),
    Hostile(
        "a negative length",
        CHARGE,
        saying(http(201, GOOD, length=-5)),
        Unanswered("not HTTP"),
    ),
    Hostile("a body cut short", CHARGE, saying(http(201, GOOD, length=500)), Unanswered("broken body")),
    Hostile(
        "a chunk that is no chunk",
        CHARGE,
        saying(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Unanswered("not HTTP"),
    ),
    Hostile(
        "chunks that stop",
        CHARGE,
        saying(b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n'),
        Unanswered("broken body"),
    ),
    Hostile(
        "a gzip body",
        CHARGE,
        saying(http(201, gzip.compress(GOOD.encode()), "Content-Encoding: gzip")),
        Unanswered("encoded body"),
    ),
    Hostile(
        "a gzip bomb",
        CHARGE,
        saying(http(201, gzip.compress(bytes(2**28), 1), "Content-Encoding: gzip")),
        Unanswered("encoded body"),
    ),
    Hostile(
        "a body that only says it is deflated",
        CHARGE,
        saying(http(201, GOOD, "Content-Encoding: deflate")),
        Unanswered("encoded body"),
    ),
    Hostile(
        "a second coding",
        CHARGE,
        saying(http(201, GOOD, "Content-Encoding: identity", "Content-Encoding: br")),
        Unanswered("encoded body"),
    ),
    Hostile(
        "a body told to be huge",
        CHARGE,
        saying(http(201, GOOD, length=10**12)),
        Unanswered("body too large"),
    ),
    Hostile(
        "a body one byte too large",
        CHARGE,
        saying(http(201, GOOD + " " * (2**20 + 1 - len(GOOD)))),
        Unanswered("body too large"),
    ),
    Hostile(
        "chunks without end",
        CHARGE,
        dripping(
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + b" " * 0x10000 + b"\r\n",
        ),
        Unanswered("body too large"),
    ),
    Hostile(
        "a body until the line drops, too large",
        CHARGE,
        saying(b"HTTP/1.1 201 Created\r\n\r\n" + b" " * (2**20 + 1)),
        Unanswered("body too large"),
    ),
    Hostile("nobody answers", CHARGE, silence, Unanswered("timeout"), BRIEFLY_S),
    Hostile("headers that drip", CHARGE, dripping(b"HTTP/1.1 201 OK\r\nX: ", b"x"), Unanswered("timeout"), BRIEFLY_S),
    Hostile(
        "a body that drips",
        CHARGE,
        dripping(http(201, "{", length=900_000), b" "),
        Unanswered("timeout"),
        BRIEFLY_S,
    ),
    Hostile(
        "interim answers without end",
        CHARGE,
        dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        Unanswered("timeout"),
        BRIEFLY_S,
    ),
]

INDEFINITE = (200, 202, 204, 205, 206, 300, 304, 405, 406, 408, 409, 410, 411, 413, 415, 418, 425, 429)
INDEFINITE_CHARGES = [
    Hostile(f"status {status} on a charge", CHARGE, saying(http(status)), Unanswered(f"status {status}"))
    for status in (*INDEFINITE, 500, 501, 502, 503, 504, 507, 599, 999)
] + [
    Hostile(
        f"redirect {status}",
        CHARGE,
        saying(http(status, GOOD, "Location: /api/v1/payments/elsewhere")),
        Unanswered(f"status {status}"),
    )
    for status in (301, 302, 303, 307, 308)
]

REFUSED_CHARGES = [
    Hostile(f"status {status} on a charge", CHARGE, saying(http(status)), Refused(status, f"status {status}"))
    for status in (400, 401, 403, 404, 422)
] + [
    Hostile("a refusal with its code", CHARGE, saying(http(422, '{"code":"bad-token"}')), Refused(422, "bad-token")),
    Hostile(
        "a refusal that gives the secret away",
        CHARGE,
        saying(http(422, '{"code":"tok_secret","detail":"tok_secret is unknown"}')),
        Refused(422, "status 422"),
    ),
    Hostile(
        "a refusal that tells a story",
        CHARGE,
        saying(http(400, json.dumps({"code": "line\nbreak", "detail": "x" * 9999}))),
        Refused(400, "status 400"),
    ),
    Hostile("a refusal in brackets", CHARGE, saying(http(403, DEEP)), Refused(403, "status 403")),
    Hostile(
        "a refusal in gzip",
        CHARGE,
        saying(http(401, gzip.compress(b"{}"), "Content-Encoding: gzip")),
        Refused(401, "status 401"),
    ),
]

DECLINED = PaymentState("declined", None, None, 1250)
DECLINES = [
    Hostile("402 without a body", CHARGE, saying(http(402)), DECLINED),
    Hostile("402 in html", CHARGE, saying(http(402, "<html>", "Content-Type: text/html")), DECLINED),
    Hostile("402 in brackets", CHARGE, saying(http(402, DEEP)), DECLINED),
    Hostile("402 with wrong types", CHARGE, saying(http(402, '{"declineCode":7,"paymentId":[]}')), DECLINED),
    Hostile(
        "402 as a problem document",
        CHARGE,
        saying(http(402, '{"type":"about:blank","status":402,"declineCode":"no_funds","paymentId":"p1"}')),
        PaymentState("declined", "p1", "no_funds", 1250),
    ),
    Hostile(
        "402 with a NUL in its code",
        CHARGE,
        saying(http(402, json.dumps({"declineCode": "no\x00 \u202efunds" + "x" * 200, "paymentId": "p\x00"}))),
        PaymentState("declined", None, "no? ?funds" + "x" * 90, 1250),
    ),
    Hostile(
        "402 for another reference",
        CHARGE,
        saying(http(402, '{"reference":"pay-2"}')),
        Lied("402 with another reference than asked"),
    ),
    Hostile(
        "402 for another amount",
        CHARGE,
        saying(http(402, '{"amount":1}')),
        Lied("402 with another amount than asked"),
    ),
    Hostile(
        "402 that says succeeded",
        CHARGE,
        saying(http(402, GOOD)),
        Lied("402 for a payment that is not declined"),
    ),
]
