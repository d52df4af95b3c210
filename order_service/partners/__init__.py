"""The partners: ports, HTTP adapters, and the one door from an owed call to an answer."""

from order_service.partners.door import Partners, dispatch_call, open_partners
from order_service.partners.ports import AvailabilityAnswer, Cart, CartAnswer, Inventory, Payment, ReservationAnswer

__all__ = [
    "AvailabilityAnswer",
    "Cart",
    "CartAnswer",
    "Inventory",
    "Partners",
    "Payment",
    "ReservationAnswer",
    "dispatch_call",
    "open_partners",
]
