"""The one door from an owed call to a partner, and the partners behind it."""

from dataclasses import dataclass
from typing import TypedDict, assert_never

from order_service.core.answers import Answer, CallKind
from order_service.core.requests import (
    ChargeRequest,
    ClearCartRequest,
    CommitRequest,
    ReadPaymentRequest,
    ReadRefundRequest,
    RefundRequest,
    ReleaseRequest,
    ReserveRequest,
    VoidRequest,
    decode_request,
)
from order_service.partners.breaker import Breaker
from order_service.partners.cart import HttpCart
from order_service.partners.inventory import HttpInventory
from order_service.partners.payment import KEY_TTL_S, HttpPayment
from order_service.partners.ports import Cart, Inventory, Payment
from order_service.partners.wire import Wire


@dataclass(frozen=True)
class Partners:
    """The three ports, and the wires under them, which this value owns."""

    inventory: Inventory
    cart: Cart
    payment: Payment
    wires: tuple[Wire, ...] = ()

    @property
    def breakers(self) -> dict[str, Breaker]:
        """By partner, whether it is asked at all."""
        return {wire.breaker.partner: wire.breaker for wire in self.wires}

    async def close(self) -> None:
        """Drop every connection."""
        for wire in self.wires:
            await wire.close()


def open_partners(
    *, inventory_url: str, cart_url: str, payment_url: str, connections: int = 256, payment_key_ttl_s: float = KEY_TTL_S
) -> Partners:
    """Open one session per partner; call it inside the running loop, close it in the same."""
    urls = {"inventory": inventory_url, "cart": cart_url, "payment": payment_url}
    inventory, cart, payment = (Wire(url, partner=name, connections=connections) for name, url in urls.items())
    paying = HttpPayment(payment, key_ttl_s=payment_key_ttl_s)
    return Partners(HttpInventory(inventory), HttpCart(cart), paying, (inventory, cart, payment))


class _Within(TypedDict):
    deadline_s: float
    correlation_id: str


async def dispatch_call(
    partners: Partners,
    kind: CallKind | str,
    request_bytes: bytes,
    key: str,
    *,
    timeout_s: float,
    correlation_id: str = "",
    alone: bool = True,
) -> Answer:
    """Make the owed call once and return what it came to; unless ``alone``, others may be in the same request.

    Nothing a partner or the network does raises. Stored bytes that are not a request of this kind raise
    msgspec.DecodeError, an unknown kind ValueError: the row is broken, not the partner.
    """
    request = decode_request(CallKind(kind), request_bytes)
    within: _Within = {"deadline_s": timeout_s, "correlation_id": correlation_id}
    match request:
        case ReserveRequest():
            return await partners.inventory.reserve(request, key, alone=alone, **within)
        case ReleaseRequest():
            return await partners.inventory.release(request, key, **within)
        case CommitRequest():
            return await partners.inventory.commit(request, key, **within)
        case ClearCartRequest():
            return await partners.cart.clear(request, key, **within)
        case ChargeRequest():
            return await partners.payment.charge(request, key, **within)
        case VoidRequest():
            return await partners.payment.void(request, key, **within)
        case ReadPaymentRequest():
            return await partners.payment.read(request, **within)
        case RefundRequest():
            return await partners.payment.refund(request, key, **within)
        case ReadRefundRequest():
            return await partners.payment.read_refund(request, **within)
        case _:
            assert_never(request)
