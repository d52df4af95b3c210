"""Faults of the rules: money, stock and what is told, each by one hurried change."""

from tools.planted_bugs.bug import Bug

_PAYMENT = "order_service/core/payment.py"
_REFUND = "order_service/core/refund.py"
_CANCELLATION = "order_service/core/cancellation.py"
_MODEL = "order_service/core/model.py"
_STOCK = "order_service/core/stock.py"
_REFUNDABLE = "return self.payment.captured - self.payment.refunded - self.refund_in_flight - self.settled_outside"

RULES = (
    Bug(
        "capture-on-a-closed-attempt-accepted",
        "A capture that comes on a closed attempt is kept, and never goes back to the customer.",
        _PAYMENT,
        """            if answer.status == "succeeded":
                _surplus(draft, attempt, answer)
""",
        "",
        ("tests/core/test_payment_again.py::test_a_capture_on_a_closed_attempt_is_surplus_and_goes_back_whole",),
    ),
    Bug(
        "late-capture-told-as-success",
        "A capture after the cancellation is announced as a successful payment.",
        _PAYMENT,
        """    assert draft.order.status is Status.CANCELLED
    refund_rest""",
        """    assert draft.order.status is Status.CANCELLED
    draft.announce(Event.PAYMENT_SUCCESSFUL)
    refund_rest""",
        ("tests/core/test_cancellation.py::test_a_capture_after_cancellation_is_refunded_and_never_called_a_success",),
    ),
    Bug(
        "late-capture-kept",
        "A capture after the cancellation is not refunded.",
        _PAYMENT,
        """    refund_rest(draft, "captured after cancellation")
""",
        "",
        ("tests/core/test_cancellation.py::test_a_capture_after_cancellation_is_refunded_and_never_called_a_success",),
    ),
    Bug(
        "silence-is-a-decline",
        "A charge without an answer is taken for one that was declined.",
        _PAYMENT,
        """            draft.again(call, answer)
            if isinstance(answer, Unanswered) and""",
        """            if call.kind is CallKind.CHARGE:
                _open_attempt_is(draft, call, attempt, PaymentState("declined", None, None, attempt.amount))
                return
            draft.again(call, answer)
            if isinstance(answer, Unanswered) and""",
        ("tests/core/test_payment.py::test_unknown_is_told_once_and_without_an_event",),
    ),
    Bug(
        "a-void-leaves-the-charge-owed",
        "A void does not end the charge, which is sent again behind it.",
        _PAYMENT,
        "    draft.drop(draft.owed(CallKind.CHARGE, *READS, subject=attempt.reference))\n    unknown",
        "    unknown",
        ("tests/core/test_payment.py::test_every_open_attempt_is_voided_at_its_deadline",),
    ),
    Bug(
        "cancel-leaves-the-attempt-open",
        "A cancel does not void the attempt that may still take money.",
        _CANCELLATION,
        "    void_open_attempts(draft)\n",
        "",
        ("tests/core/test_cancellation.py::test_cancelling_an_order_whose_charge_is_open_voids_it",),
    ),
    Bug(
        "refund-under-way-left-out-of-the-bound",
        "All that was captured may be refunded, though a part of it is under way back.",
        _MODEL,
        _REFUNDABLE,
        "return self.payment.captured - self.payment.refunded - self.settled_outside",
        ("tests/core/test_refund.py::test_what_is_under_way_counts_in_the_bound",),
    ),
    Bug(
        "settled-outside-forgotten",
        "Money that people gave back by hand can be refunded once more.",
        _MODEL,
        _REFUNDABLE,
        "return self.payment.captured - self.payment.refunded - self.refund_in_flight",
        ("tests/core/test_parked.py::test_giving_up_a_refund_needs_a_note_and_counts_for_ever",),
    ),
    Bug(
        "refund-with-the-old-key",
        "A refund that follows a failed one goes out under the key of the failed one.",
        _REFUND,
        'reference = f"{draft.order.id}-f{number}"',
        'reference = f"{draft.order.id}-f1"',
        ("tests/core/test_refund.py::test_a_failed_refund_is_followed_by_one_with_a_new_key",),
    ),
    Bug(
        "one-charge-key-per-order",
        "The second attempt is charged under the key of the first, whose answer was no.",
        _PAYMENT,
        'reference=f"{order.id}-p{number}"',
        'reference=f"{order.id}-p1"',
        ("tests/core/test_payment_again.py",),
    ),
    Bug(
        "release-by-order",
        "A release names the order instead of its own reservation, so that a late one frees a newer hold.",
        _STOCK,
        "ReleaseRequest(reservation.reservation_id, draft.order.id)",
        'ReleaseRequest(f"{draft.order.id}-r1", draft.order.id)',
        ("tests/core/test_payment_again.py::test_each_release_names_the_hold_that_it_ends_and_no_older_one",),
    ),
    Bug(
        "one-reservation-id-per-order",
        "Stock that is reserved anew gets the id of the released reservation.",
        _STOCK,
        'reservation_id = f"{order.id}-r{len(order.reservations) + 1}"',
        'reservation_id = f"{order.id}-r1"',
        ("tests/core/test_payment_again.py::test_a_new_reserve_waits_for_the_older_release",),
    ),
    Bug(
        "a-release-leaves-the-reserve-owed",
        "A release does not end the reserve, which is sent again behind it.",
        _STOCK,
        "    draft.drop(draft.owed(CallKind.RESERVE, subject=reservation.reservation_id))\n",
        "",
        ("tests/core/test_creation.py::test_a_cancel_puts_the_release_in_place_of_an_unanswered_reserve",),
    ),
    Bug(
        "two-lines-of-one-product-not-summed",
        "Of a product that stands on two lines only the last one is reserved.",
        _STOCK,
        "need[line.product_id] = need.get(line.product_id, 0) + line.quantity",
        "need[line.product_id] = line.quantity",
        ("tests/core/test_creation.py::test_the_same_product_on_two_lines_is_summed_before_it_is_reserved",),
    ),
    Bug(
        "an-answer-to-a-parked-call-applied",
        "A late answer to a call that waits for a person is applied.",
        "order_service/core/decide.py",
        "if call is None or call.parked is not None:",
        "if call is None:",
        ("tests/core/test_creation.py::test_an_answer_to_a_parked_call_is_dropped",),
    ),
    Bug(
        "another-token-joins-the-open-attempt",
        "A second payment token is told of the first one's charge as if it were its own.",
        _PAYMENT,
        "        if msg.token is not None and msg.token != draft.attempt_token:\n            raise PaymentInProgress\n",
        "",
        ("tests/core/test_payment.py::test_another_token_has_to_wait_for_the_open_attempt",),
    ),
    Bug(
        "all-refunded-before-shipping",
        "A paid order that has not been sent is refunded in full, and sent all the same.",
        _REFUND,
        "amount == order.refundable:\n        raise CancelInstead",
        "amount > order.refundable:\n        raise CancelInstead",
        ("tests/core/test_refund.py::test_before_shipping_a_refund_of_everything_is_a_cancellation",),
    ),
    Bug(
        "a-void-repeated-for-ever",
        "A void that cannot stop the charge is repeated instead of being read until it is final.",
        _PAYMENT,
        "    if call.kind is CallKind.READ_PAYMENT:\n        draft.again(call)\n        return\n",
        "    if call.kind in (CallKind.READ_PAYMENT, CallKind.VOID):\n        draft.again(call)\n        return\n",
        ("tests/core/test_payment.py::test_a_void_that_cannot_stop_the_charge_is_polled_and_never_repeated",),
    ),
    Bug(
        "no-second-look-before-the-next-charge",
        "The next charge does not wait until the closed attempt was read once more.",
        _PAYMENT,
        "or sent or draft.owed(CallKind.CHECK_PAYMENT):",
        "or sent:",
        ("tests/core/test_payment_again.py::test_the_next_charge_waits_for_the_stock_and_for_the_closed_attempt",),
    ),
    Bug(
        "a-payment-under-way-expires",
        "An order expires while its payment is under way.",
        _CANCELLATION,
        "if order.status in (Status.PENDING, Status.PAYMENT_FAILED) and",
        "if order.status in (Status.PENDING, Status.PAYMENT_PENDING, Status.PAYMENT_FAILED) and",
        ("tests/core/test_payment.py::test_a_payment_under_way_does_not_expire",),
    ),
    Bug(
        "events-of-an-order-nobody-knows",
        "An order that dies before it was public is announced as cancelled.",
        "order_service/core/draft.py",
        "        if self.order.public or Event.CREATED in self.events or Event.CREATED in events:",
        "        if events:",
        ("tests/core/test_cancellation.py::test_a_cancel_before_the_order_is_public_tells_nobody",),
    ),
    Bug(
        "a-surplus-counts-as-refunded",
        "A refund of surplus money counts as money of the order that is back.",
        _REFUND,
        "    if row.surplus:\n        return\n    money",
        "    money",
        ("tests/core/test_payment_again.py",),
    ),
)
