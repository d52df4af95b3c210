"""Refusals of the rules: one class per situation, each with a stable code and one sentence for the client."""

from __future__ import annotations

from typing import Any

from order_service.core.answers import Shortage
from order_service.core.lifecycle import Status


class Refusal(Exception):
    """The order, as it stands, does not allow what was asked; nothing was written.

    ``code`` is stable and part of the API, ``status`` the HTTP status it is answered with, ``extra`` what the client
    may need to go on. ``retry_after_s`` is set where the same request may succeed by itself a little later.
    """

    code = "refused"
    title = "Refused"
    status = 409
    retry_after_s: int | None = None

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class OutOfStock(Refusal):
    """The inventory does not have what the order needs."""

    code = "out-of-stock"
    title = "Out of stock"

    def __init__(self, shortages: tuple[Shortage, ...], **extra: Any) -> None:
        told = "; ".join(f"{s.product_id}: {s.requested} asked, {s.available} available" for s in shortages)
        super().__init__(f"Not enough stock: {told or 'the hold was refused'}.", **extra)
        self.shortages = shortages


class StockNotReserved(Refusal):
    """Payment has to wait until the stock is held."""

    code = "stock-not-reserved"
    title = "Stock not reserved yet"
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("The stock for this order is not reserved yet; pay again in a moment.")


class PaymentInProgress(Refusal):
    """Another payment method is being charged for the same order."""

    code = "payment-in-progress"
    title = "Payment in progress"
    retry_after_s = 2

    def __init__(self) -> None:
        super().__init__("Another payment of this order is still open; wait for its result.")


class PaymentDeclined(Refusal):
    """The payment service said no, or the attempt was voided before it said yes."""

    code = "payment-declined"
    title = "Payment declined"
    status = 402

    def __init__(self, decline_code: str | None, attempt: int) -> None:
        super().__init__(
            "The payment was declined; the order can be paid again with another payment method.",
            declineCode=decline_code,
            attempt=attempt,
        )


class NotPayable(Refusal):
    """The order is over: there is nothing to pay."""

    code = "not-payable"
    title = "Not payable"

    def __init__(self, status: Status) -> None:
        super().__init__(f"A {status} order cannot be paid.", orderStatus=status)


class PaymentMethodMissing(Refusal):
    """Neither the request nor the order names a payment method."""

    code = "validation-failed"
    title = "Validation failed"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "The order has no payment method of its own, so the request must name one.",
            errors=[{"pointer": "/paymentMethod", "detail": "is required: the order has no payment method"}],
        )


class UnlawfulMove(Refusal):
    """``PUT status`` asked for a move that the table does not have, or that only a payment may make."""

    code = "unlawful-move"
    title = "Unlawful move"

    def __init__(self, origin: Status, target: Status, allowed: tuple[Status, ...]) -> None:
        may = ", ".join(allowed) or "nothing"
        super().__init__(
            f"A {origin} order cannot be set to {target}; allowed now: {may}.",
            orderStatus=origin,
            allowed=list(allowed),
        )


class NotCancellable(Refusal):
    """The goods have left: a refund is the way now."""

    code = "not-cancellable"
    title = "Not cancellable"

    def __init__(self, status: Status) -> None:
        super().__init__(f"A {status} order cannot be cancelled any more.", orderStatus=status)


class RefundExceedsCaptured(Refusal):
    """More was asked back than was taken and not yet given back."""

    code = "refund-exceeds-captured"
    title = "Refund exceeds what was captured"

    def __init__(self, refundable: int) -> None:
        super().__init__(f"At most {refundable} minor units can be refunded.", refundable=refundable)


class CancelInstead(Refusal):
    """A refund of everything before shipping is a cancellation."""

    code = "cancel-instead"
    title = "Cancel instead"

    def __init__(self) -> None:
        super().__init__(
            "This refund would leave nothing of the payment before the goods were sent; cancel the order instead."
        )


class CallNotFound(Refusal):
    """The order never owed a call of that id."""

    code = "call-not-found"
    title = "Call not found"
    status = 404

    def __init__(self) -> None:
        super().__init__("This order has no call of that id.")


class CallNotParked(Refusal):
    """Only a call that waits for a person can be retried or given up."""

    code = "call-not-parked"
    title = "Call not parked"

    def __init__(self) -> None:
        super().__init__("This call does not wait for a person.")


class NotPossible(Refusal):
    """A void or a release must be answered: nothing else frees the money or the goods."""

    code = "not-possible"
    title = "Not possible"

    def __init__(self) -> None:
        super().__init__("This call cannot be given up: only the partner's answer ends it. Retry it instead.")


class NoteRequired(Refusal):
    """Giving up a refund needs a note about how the money was settled."""

    code = "validation-failed"
    title = "Validation failed"
    status = 422

    def __init__(self) -> None:
        super().__init__(
            "Say in a note how the refund was settled outside.",
            errors=[{"pointer": "/note", "detail": "is required to give up a refund"}],
        )
