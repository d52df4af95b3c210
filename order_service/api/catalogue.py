"""Every problem code with its meaning and what to do: the pages that the ``type`` of a problem leads to."""

from __future__ import annotations

from typing import NamedTuple

from order_service import problems
from order_service.api import refusals
from order_service.core import errors

_CLASSES: tuple[type[errors.Refusal], ...] = (
    refusals.ValidationFailed,
    refusals.MalformedJson,
    refusals.MalformedRequest,
    refusals.InvalidIdempotencyKey,
    refusals.InvalidIfMatch,
    refusals.BodyTooLarge,
    refusals.UnsupportedMediaType,
    refusals.RequestTimeout,
    refusals.HeadersTooLarge,
    refusals.NotFound,
    refusals.MethodNotAllowed,
    refusals.Unauthorized,
    refusals.NotReady,
    refusals.Unhealthy,
    refusals.InternalError,
    problems.OrderNotFound,
    problems.MissingScope,
    problems.StaleVersion,
    problems.KeyReused,
    problems.RequestInFlight,
    problems.InventoryUnavailable,
    problems.CartChanged,
    problems.CartUnavailable,
    problems.ServiceUnavailable,
    problems.Conflict,
    errors.OutOfStock,
    errors.StockNotReserved,
    errors.PaymentInProgress,
    errors.PaymentDeclined,
    errors.NotPayable,
    errors.UnlawfulMove,
    errors.NotCancellable,
    errors.RefundExceedsCaptured,
    errors.CancelInstead,
    errors.CallNotFound,
    errors.CallNotParked,
    errors.NotPossible,
)

_REMEDIES = {
    "validation-failed": "Correct every place that `errors` lists and send the request again. Nothing was done, and "
    "an Idempotency-Key of the refused request may be used again.",
    "malformed-json": "Send one JSON text in UTF-8, at most 32 levels deep, without NaN, Infinity or half characters.",
    "malformed-request": "Send a plain HTTP/1.1 request; a proxy on the way may have damaged it.",
    "invalid-idempotency-key": "Send one Idempotency-Key of 1 to 255 visible ASCII characters, such as a UUID.",
    "invalid-if-match": "Send the ETag of the order as you last saw it, quotation marks included, or *.",
    "body-too-large": "Send at most as many bytes as `limit` says. An order may have up to 200 lines.",
    "unsupported-media-type": "Send Content-Type: application/json and no Content-Encoding.",
    "request-timeout": "Send the whole request at once. Look for a slow proxy or network on the way.",
    "headers-too-large": "Send fewer or shorter headers; cookies are not needed.",
    "not-found": "Compare the path with the documentation; it has no trailing slash.",
    "method-not-allowed": "Use one of the methods in the Allow header.",
    "unauthorized": "Send an API key or a token in the Authorization header.",
    "missing-scope": "Use credentials with the scope that the answer names.",
    "not-ready": "Send requests to another replica until this one is ready.",
    "unhealthy": "Look at `checks`. Requests work again as soon as the database does.",
    "internal-error": "Repeat the request with the same Idempotency-Key. Report the correlation id if it stays.",
    "order-not-found": "Check the order's id. An order of somebody else looks the same as none.",
    "stale-version": "Read the order again, decide anew, and send the new ETag in If-Match.",
    "idempotency-key-reused": "Use a new Idempotency-Key for every new request, the old one only for a repeat.",
    "request-in-flight": "Wait as long as Retry-After says, then repeat the request to get its answer.",
    "inventory-unavailable": "Repeat the request after Retry-After; nothing was written.",
    "cart-changed": "Read the cart again and show it to the customer; `changed` says what is different. A customer "
    "orders the whole cart at its prices, for its own user.",
    "cart-unavailable": "Repeat the request after Retry-After; nothing was written.",
    "service-unavailable": "Repeat the request after Retry-After with the same Idempotency-Key.",
    "conflict": "Repeat the request; other changes of the same order came first each time.",
    "out-of-stock": "Take out or reduce what `shortages` lists, and order again.",
    "stock-not-reserved": "Pay again after Retry-After; the stock is still being reserved.",
    "payment-in-progress": "Wait for the open payment's result, then pay with the other method if it failed.",
    "payment-declined": "Ask the customer for another payment method and pay again; `declineCode` says why.",
    "not-payable": "Nothing is to be paid any more; place a new order if it is still wanted.",
    "unlawful-move": "Choose one of the statuses in `allowed`.",
    "not-cancellable": "The goods have left: refund the order instead, when they are back or lost.",
    "refund-exceeds-captured": "Refund at most `refundable` minor units.",
    "cancel-instead": "Cancel the order: that gives all of the money back and frees the stock.",
    "call-not-found": "Take the call's id from the order's `attention`.",
    "call-not-parked": "Nothing to do: the call is on its way or done.",
    "not-possible": "Retry the call; only the partner's answer can end it.",
}


class Entry(NamedTuple):
    """One problem code, for people."""

    code: str
    status: int
    title: str
    meaning: str
    remedy: str


CATALOGUE: dict[str, Entry] = {
    cls.code: Entry(cls.code, cls.status, cls.title, (cls.__doc__ or "").split("\n\n")[0], _REMEDIES[cls.code])
    for cls in _CLASSES
}

assert set(CATALOGUE) == set(_REMEDIES), "every remedy belongs to a code"
