"""The hold on the goods: asked for and given back, each under a reservation id of its own."""

from __future__ import annotations

from order_service.core.answers import CallKind
from order_service.core.draft import Draft
from order_service.core.model import Order, Reservation, ReservationStatus
from order_service.core.requests import ReleaseRequest, ReserveRequest, StockItem


def reserve(draft: Draft) -> None:
    """3 Ask the inventory to hold everything, under a reservation id that no other hold ever had."""
    order = draft.order
    reservation_id = f"{order.id}-r{len(order.reservations) + 1}"
    draft.put_reservation(Reservation(reservation_id, ReservationStatus.RESERVING))
    draft.owe(
        CallKind.RESERVE,
        reservation_id,
        ReserveRequest(reservation_id, order.id, stock_items(order)),
        key=reservation_id,
    )


def stock_items(order: Order) -> tuple[StockItem, ...]:
    """What the order needs, summed per product: two lines may name the same one."""
    need: dict[str, int] = {}
    for line in order.items:
        need[line.product_id] = need.get(line.product_id, 0) + line.quantity
    return tuple(StockItem(product, quantity) for product, quantity in need.items())


def release(draft: Draft) -> None:
    """Give the stock back: the release ends the reserve of its reservation, answered or not."""
    reservation = draft.order.newest_reservation
    draft.drop(draft.owed(CallKind.RESERVE, subject=reservation.reservation_id))
    draft.set_reservation(ReservationStatus.RELEASING)
    draft.owe(
        CallKind.RELEASE,
        reservation.reservation_id,
        ReleaseRequest(reservation.reservation_id, draft.order.id),
        key=f"{reservation.reservation_id}-release",
    )
