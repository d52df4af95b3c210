"""The sandbox's Inventory: what is on hand, and who holds it.

| product | what it does |
|---|---|
| `out-of-stock` | there is none |
| `slow`, `stuck` | a reserve of it takes effect and is answered 2 s, 30 s later; among others it gets 503 |
| `flaky` | the first two reserves of an order get 503 |
| any other | 1,000,000 pieces, unless set |
"""

from typing import Any, Literal

import msgspec

from order_service.sandbox.contract import MOST_RESERVES, AskAvailability, EndReservation, Item, Reserve, summed
from order_service.sandbox.journal import Change, Effect, Gone, Held, LetGo, StockSet, TurnedAway
from order_service.sandbox.outcome import Outcome, refusal

PLENTY = 1_000_000
NONE_AT_ALL = "out-of-stock"
FLAKY = "flaky"
FLAKY_REFUSALS = 2
DELAYS_S = {"slow": 2.0, "stuck": 30.0}


class Hold(msgspec.Struct):
    """One reservation. Without items: released before it was ever made."""

    order_id: str | None
    state: Literal["reserved", "released", "committed"]
    items: tuple[Item, ...] = ()


def delay_s(body: Reserve) -> float:
    """Seconds until a reserve of these products takes effect."""
    return max(DELAYS_S.get(item.product_id, 0.0) for item in body.items)


class Stock:
    """State and rules of the warehouse. Methods decide and change nothing; `apply` changes."""

    def __init__(self) -> None:
        self._on_hand = {NONE_AT_ALL: 0}
        self._used: dict[str, int] = {}
        self._holds: dict[str, Hold] = {}
        self._turned_away: dict[str, int] = {}

    def available(self, product_id: str) -> int:
        """Pieces that a new reservation could take; what has left does not come back."""
        return max(0, self._on_hand.get(product_id, PLENTY) - self._used.get(product_id, 0))

    def availability(self, body: AskAvailability) -> Outcome:
        """Tell what there is, each product once, and how many reserves may come in one request."""
        items = [{"productId": name, "availableQuantity": self.available(name)} for name in summed(body.items)]
        return Outcome(200, {"items": items, "bulkReservations": MOST_RESERVES}, remember=False)

    def view(self, reservation_id: str) -> Outcome:
        """Tell how a reservation stands."""
        hold = self._holds.get(reservation_id)
        if hold is None:
            return refusal(404, "reservation-not-found", "no such reservation")
        return Outcome(200, {"state": hold.state, "items": msgspec.to_builtins(hold.items)})

    def reserve(self, body: Reserve, key: str) -> Outcome:
        """Hold everything or nothing."""
        hold = self._holds.get(body.reservation_id)
        if hold is not None:
            return self._reserve_again(body, hold)
        if self._is_flaky_for(body):
            change = TurnedAway(body.order_id)
            return Outcome(503, {"code": "unavailable"}, change, remember=False)
        shortages = self._shortages(body)
        if shortages:
            return Outcome(409, {"shortages": shortages})
        return Outcome(
            201,
            {"reservationId": body.reservation_id},
            Held(body.reservation_id, body.order_id, body.items),
            Effect("reserve", key, body.order_id, body.reservation_id, body.items),
        )

    def _reserve_again(self, body: Reserve, hold: Hold) -> Outcome:
        if hold.state != "reserved":
            return Outcome(409, {"shortages": []})
        if summed(hold.items) != summed(body.items):
            return refusal(422, "reservation-differs", "the reservation holds other items")
        return Outcome(201, {"reservationId": body.reservation_id})

    def _is_flaky_for(self, body: Reserve) -> bool:
        wanted = any(item.product_id == FLAKY for item in body.items)
        return wanted and self._turned_away.get(body.order_id, 0) < FLAKY_REFUSALS

    def _shortages(self, body: Reserve) -> list[dict[str, Any]]:
        return [
            {"productId": name, "requested": wanted, "available": self.available(name)}
            for name, wanted in summed(body.items).items()
            if wanted > self.available(name)
        ]

    def release(self, reservation_id: str, body: EndReservation, key: str) -> Outcome:
        """Free what is held, and remember it for a reserve that is still on its way."""
        hold = self._holds.get(reservation_id)
        if hold is not None and hold.state != "reserved":
            return Outcome(200, {"reservationId": reservation_id, "state": hold.state})
        order_id, items = (body.order_id, ()) if hold is None else (hold.order_id, hold.items)
        return Outcome(
            200,
            {"reservationId": reservation_id, "state": "released"},
            LetGo(reservation_id),
            Effect("release", key, order_id, reservation_id, items),
        )

    def commit(self, reservation_id: str, key: str) -> Outcome:
        """Book held goods as gone."""
        hold = self._holds.get(reservation_id)
        if hold is None or hold.state == "released":
            return Outcome(409, {"code": "not-held", "detail": "nothing is held"})
        answer = {"reservationId": reservation_id, "state": "committed"}
        if hold.state == "committed":
            return Outcome(200, answer)
        effect = Effect("commit", key, hold.order_id, reservation_id, hold.items)
        return Outcome(200, answer, Gone(reservation_id), effect)

    def apply(self, change: Change) -> None:
        """Take one step; changes of other partners are passed over."""
        match change:
            case Held(reservation_id, order_id, items):
                self._holds[reservation_id] = Hold(order_id, "reserved", items)
                self._use(items, 1)
            case LetGo(reservation_id):
                hold = self._holds.setdefault(reservation_id, Hold(None, "released"))
                self._use(hold.items, -1)
                hold.state = "released"
            case Gone(reservation_id):
                self._holds[reservation_id].state = "committed"
            case TurnedAway(order_id):
                self._turned_away[order_id] = self._turned_away.get(order_id, 0) + 1
            case StockSet(product_id, quantity):
                self._on_hand[product_id] = quantity

    def _use(self, items: tuple[Item, ...], sign: int) -> None:
        for name, quantity in summed(items).items():
            self._used[name] = self._used.get(name, 0) + sign * quantity
