"""Faults of what is believed: an answer that settles nothing is taken for a yes or a no."""

from tools.planted_bugs.bug import Bug

_PAYMENT = "order_service/partners/payment.py"
_INVENTORY = "order_service/partners/inventory.py"
_HOSTILE = ("tests/partners/test_hostile_answers.py",)

PARTNERS = (
    Bug(
        "401-read-as-declined",
        "A 401 of the payment service, which speaks of our set-up, is read as a declined card.",
        _PAYMENT,
        "        if reply.status == 402:\n            return _declined",
        "        if reply.status in (401, 402):\n            return _declined",
        _HOSTILE,
    ),
    Bug(
        "500-read-as-declined",
        "A 500 of the payment service, which settles nothing, is read as a declined card.",
        _PAYMENT,
        "        if reply.status == 402:\n            return _declined",
        "        if reply.status in (402, 500):\n            return _declined",
        _HOSTILE,
    ),
    Bug(
        "another-payments-answer-is-believed",
        "The answer about another payment is believed.",
        _PAYMENT,
        '    if body.reference != asked.reference:\n        return Lied("another reference than asked")\n',
        "",
        _HOSTILE,
    ),
    Bug(
        "a-smaller-amount-is-believed",
        "A capture of less than was asked for is believed.",
        _PAYMENT,
        "    if not knows_no_amount and body.amount != asked.amount:",
        "    if not knows_no_amount and body.amount > asked.amount:",
        _HOSTILE,
    ),
    Bug(
        "another-currency-is-believed",
        "A capture in another currency is believed.",
        _PAYMENT,
        "    if not knows_no_amount and body.currency != asked.currency:",
        "    if not knows_no_amount and body.currency is None:",
        _HOSTILE,
    ),
    Bug(
        "a-refund-answered-with-404-has-failed",
        "A refund whose payment is not found, which is our own mistake, is taken for a failed one.",
        _PAYMENT,
        "        if reply.status == 409:\n            return RefundState",
        "        if reply.status in (404, 409):\n            return RefundState",
        _HOSTILE,
    ),
    Bug(
        "a-release-answered-with-404-is-done",
        "A release that the inventory answers with 404 is taken for done.",
        _INVENTORY,
        "return Released() if reply.status == 200 else reply.undecided()",
        "return Released() if reply.status in (200, 404) else reply.undecided()",
        _HOSTILE,
    ),
    Bug(
        "another-reservation-is-believed",
        "The answer about another reservation is believed.",
        _INVENTORY,
        "    if body.reservation_id != request.reservation_id:",
        "    if body.reservation_id is None:",
        _HOSTILE,
    ),
    Bug(
        "a-write-is-sent-twice",
        "A write that met a connection being dropped is sent once more by the client itself.",
        "order_service/partners/http1.py",
        'if method != "GET" or not lost.unheard:',
        "if not lost.unheard:",
        ("tests/partners/test_http1.py::test_a_write_that_meets_a_connection_being_dropped_is_not_sent_again",),
    ),
    Bug(
        "a-write-without-its-key",
        "A write goes out without its Idempotency-Key.",
        "order_service/partners/wire.py",
        'fields = f"{_WRITES}Idempotency-Key: {_visible(key)}\\r\\n"',
        "fields = _WRITES",
        ("tests/partners/test_wire.py",),
    ),
)
