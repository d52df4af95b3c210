"""The lives that orders lead under torture: one function each, as a shop, its customers and its staff would act."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from order_service.torture.clients import Answer, Clients

ADDRESS = {
    "name": "Ada Example",
    "line1": "1 Main Street",
    "city": "Springfield",
    "postalCode": "62701",
    "country": "US",
}
SHIPMENT = {"carrier": "Post", "trackingNumber": "EX-1"}
SCARCE = "scarce"

FillCart = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Put these goods into a user's cart, at the partner's."""


class Credentials(Struct, frozen=True):
    """Who calls: a shop's backend, a person of its staff, customers with a cart of their own."""

    service: str
    staff: str
    customers: dict[str, str]


class Life:
    """One order and the requests about it. What it does depends on its number and the seed only."""

    def __init__(
        self, number: int, clients: Clients, who: Credentials, dice: random.Random, fill_cart: FillCart
    ) -> None:
        self.number = number
        self.clients = clients
        self.who = who
        self.dice = dice
        self.fill_cart = fill_cart
        self.order_id = ""

    async def place(self, *, wait: bool = True, **changes: Any) -> Answer:
        """Place the order; its id is known afterwards if there is one."""
        answer = await self._write("/api/v1/orders", self.basket(**changes), wait=wait)
        if answer.status < 300:
            self.order_id = str(answer.json["id"])
        return answer

    def basket(self, **changes: Any) -> dict[str, Any]:
        """What is ordered, unless said otherwise: one or two cups, the number of the life in its metadata."""
        items = [{"productId": "cup", "name": "Cup", "quantity": self.dice.choice((1, 2)), "unitPrice": 850}]
        body: dict[str, Any] = {
            "userId": f"user-{self.number}",
            "currency": "EUR",
            "items": items,
            "shippingAddress": ADDRESS,
            "metadata": {"life": str(self.number)},
        }
        return body | changes

    async def pay(self, token: str = "tok_visa", *, wait: bool = True) -> Answer:  # noqa: S107 - the sandbox's
        """Pay; while the stock is still being reserved, again."""
        for _ in range(60):
            body = {"paymentMethod": {"token": token}}
            answer = await self._write(f"{self.path}/payment", body, wait=wait)
            if answer.code != "stock-not-reserved":
                break
            await asyncio.sleep(0.2)
        return answer

    async def cancel(self) -> Answer:
        """Cancel."""
        return await self._write(f"{self.path}/cancel", {"reason": "changed my mind"})

    async def put(self, status: str, *, wait: bool = True) -> Answer:
        """Set the status, as staff."""
        more = {"shipment": SHIPMENT} if status == "shipped" else {}
        return await self._write(f"{self.path}/status", {"status": status, **more}, method="PUT", wait=wait)

    async def refund(self, amount: int | None = None, *, wait: bool = True) -> Answer:
        """Give money back, all that is left unless an amount is named."""
        body: dict[str, Any] = {"reason": "broken"} | ({} if amount is None else {"amount": amount})
        return await self._write(f"{self.path}/refunds", body, wait=wait)

    async def order(self) -> dict[str, Any] | None:
        """The order as it is now; None when nobody answers."""
        answer = await self.clients.read(self.path, bearer=self.who.service, order_id=self.order_id)
        found: dict[str, Any] | None = answer.json if answer is not None and answer.status == 200 else None
        return found

    async def until(self, holds: Callable[[dict[str, Any]], bool], within_s: float = 12) -> dict[str, Any] | None:
        """Look again and again until the order is as wanted; None when it does not become so in time."""
        for _ in range(int(within_s / 0.2)):
            order = await self.order()
            if order is not None and holds(order):
                return order
            await asyncio.sleep(0.2)
        return None

    @property
    def path(self) -> str:
        """Where the order is."""
        return f"/api/v1/orders/{self.order_id}"

    async def _write(
        self, path: str, body: Any, *, method: str = "POST", wait: bool = True, bearer: str | None = None
    ) -> Answer:
        return await self.clients.write(self.number, method, path, body, bearer=bearer or self.who.staff, wait=wait)


async def bought(life: Life) -> None:
    """Placed and paid."""
    if (await life.place()).status == 201:
        await life.pay()


async def abandoned(life: Life) -> None:
    """Placed, and never paid: it expires."""
    await life.place(wait=False)


async def regretted(life: Life) -> None:
    """Placed and cancelled."""
    if (await life.place(wait=life.dice.random() < 0.7)).status < 300:
        await life.cancel()


async def delivered(life: Life) -> None:
    """The whole way, with a part of the money given back on it or behind it."""
    if (await life.place()).status != 201 or (await life.pay()).status != 200:
        return
    for status in ("processing", "shipped", "delivered"):
        if (await life.put(status)).status != 200:
            return
        if life.dice.random() < 0.2:
            await life.refund(100)


async def returned(life: Life) -> None:
    """Delivered, and all of the money given back, in one or two parts."""
    await delivered(life)
    if life.dice.random() < 0.5:
        await life.refund(life.dice.choice((1, 300)))
    await life.refund()


async def lost_parcel(life: Life) -> None:
    """Shipped, lost, refunded as a whole by its status."""
    if (await life.place()).status != 201 or (await life.pay()).status != 200:
        return
    for status in ("processing", "shipped", "refunded"):
        await life.put(status)


async def cancelled_when_paid(life: Life) -> None:
    """Paid, maybe being prepared, and cancelled: the money goes back by itself."""
    if (await life.place()).status != 201:
        return
    await life.pay(life.dice.choice(("tok_visa", "tok_refund_pending", "tok_timeout_after")))
    if life.dice.random() < 0.5:
        await life.put("processing")
    await life.cancel()
    await life.cancel()


async def declined_first(life: Life) -> None:
    """Declined, then paid by another card, or given up."""
    if (await life.place()).status != 201:
        return
    await life.pay("tok_declined")
    if life.dice.random() < 0.7:
        await life.pay("tok_visa")
    else:
        await life.cancel()


async def paid_twice(life: Life) -> None:
    """Two clicks at once, with one card or two."""
    if (await life.place()).status != 201:
        return
    other = life.dice.choice(("tok_visa", "tok_other"))
    await asyncio.gather(life.pay("tok_visa"), life.pay(other))


async def cancelled_while_paying(life: Life) -> None:
    """Paid and cancelled in one moment."""
    if (await life.place()).status != 201:
        return
    token = life.dice.choice(("tok_visa", "tok_timeout_after", "tok_processing", "tok_3ds"))
    await asyncio.gather(life.pay(token, wait=False), _later(life, life.cancel))


async def _later(life: Life, work: Callable[[], Awaitable[Answer]]) -> Answer:
    await asyncio.sleep(life.dice.uniform(0, 0.1))
    return await work()


async def slow_money(life: Life) -> None:
    """Money that takes its time, waits for its customer for ever, or is authorised and never captured."""
    if (await life.place()).status == 201:
        token = life.dice.choice(("tok_processing", "tok_timeout_after", "tok_3ds", "tok_requires_capture"))
        await life.pay(token, wait=False)


async def slow_refund(life: Life) -> None:
    """Paid, cancelled, and the refund stays pending for a while."""
    if (await life.place()).status == 201 and (await life.pay("tok_refund_pending")).status == 200:
        await life.cancel()


async def failing_refund(life: Life) -> None:
    """The refund fails, at once or late; staff try again once, and then settle it by hand."""
    token = life.dice.choice(("tok_refund_fails", "tok_refund_fails_late"))
    if (await life.place()).status != 201 or (await life.pay(token)).status != 200:
        return
    await life.cancel()
    tried = life.dice.random() < 0.5
    for _ in range(6):
        order = await life.until(lambda order: order["attention"] is not None)
        if order is None:
            return
        where = f"{life.path}/calls/{order['attention']['callId']}"
        if tried:
            answer = await life._write(f"{where}/give-up", {"note": "paid out in cash"})
            if answer.status == 200:
                return
        else:
            tried = (await life._write(f"{where}/retry", {})).status == 202
    await asyncio.sleep(0)


async def for_free(life: Life) -> None:
    """A total of nothing: confirmed without a charge."""
    items = [{"productId": "leaflet", "name": "Leaflet", "quantity": 1, "unitPrice": 0}]
    if (await life.place(items=items)).status == 201 and life.dice.random() < 0.5:
        await (life.put("processing") if life.dice.random() < 0.5 else life.cancel())


async def out_of_stock(life: Life) -> None:
    """Nothing there: refused before anything is written."""
    items = [{"productId": "out-of-stock", "name": "Rare", "quantity": 1, "unitPrice": 100}]
    await life.place(items=items)


async def last_pieces(life: Life) -> None:
    """Many want the few pieces that are left; some give theirs back."""
    items = [{"productId": SCARCE, "name": "Scarce", "quantity": life.dice.choice((1, 3)), "unitPrice": 500}]
    if (await life.place(items=items)).status == 201:
        await (life.pay() if life.dice.random() < 0.3 else life.cancel())


async def slow_stock(life: Life) -> None:
    """Goods that are reserved slowly, or by an inventory that is not itself at first."""
    product = life.dice.choice(("slow", "flaky"))
    items = [{"productId": product, "name": product, "quantity": 1, "unitPrice": 700}]
    if (await life.place(items=items, wait=False)).status < 300 and life.dice.random() < 0.5:
        await (life.cancel() if life.dice.random() < 0.5 else life.pay())


async def twins(life: Life) -> None:
    """One click that was sent twice: the same key and bytes at two replicas at once."""
    body, key = life.basket(), f"twin-{life.number}-{life.dice.getrandbits(32)}"
    one, two = await asyncio.gather(
        *(
            life.clients.write(life.number, "POST", "/api/v1/orders", body, bearer=life.who.staff, key=key)
            for _ in range(2)
        )
    )
    if one.status == two.status == 201 and one.body != two.body:
        life.clients.log.complain(f"twins of key {key} were told different things")


async def looked_at(life: Life) -> None:
    """Placed, and looked at from all sides."""
    if (await life.place()).status != 201:
        return
    await life.order()
    for path in (f"{life.path}/history", f"/api/v1/orders/user/user-{life.number}?limit=5", "/metrics", "/health"):
        await life.clients.read(path, bearer=life.who.staff)


async def own_cart(life: Life) -> None:
    """A customer orders what its cart holds, if nobody else has emptied it by then."""
    user = life.dice.choice(sorted(life.who.customers))
    item = {"productId": "cup", "name": "Cup", "quantity": 1, "unitPrice": 850}
    goods = {name: value for name, value in item.items() if name != "name"}
    await life.fill_cart(user, {"currency": "EUR", "items": [goods]})
    body = life.basket(userId=user, items=[item])
    await life._write("/api/v1/orders", body, bearer=life.who.customers[user])


Story = Callable[[Life], Awaitable[None]]

RICH: dict[Story, int] = {
    bought: 12,
    abandoned: 4,
    regretted: 8,
    delivered: 10,
    returned: 8,
    lost_parcel: 6,
    cancelled_when_paid: 10,
    declined_first: 6,
    paid_twice: 6,
    cancelled_while_paying: 10,
    slow_money: 6,
    slow_refund: 6,
    failing_refund: 6,
    for_free: 3,
    out_of_stock: 2,
    last_pieces: 5,
    slow_stock: 5,
    twins: 6,
    looked_at: 12,
    own_cart: 5,
}
"""How often each life is led: all that an order can meet."""

LIGHT: dict[Story, int] = {
    **dict.fromkeys(RICH, 1),
    bought: 70,
    regretted: 60,
    abandoned: 40,
    cancelled_when_paid: 15,
    twins: 10,
    declined_first: 8,
}
"""The same, with most of them short: for as many as can be."""
