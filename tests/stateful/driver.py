"""Drives the running service, and holds every answer against the model.

The model is RULES' table of answers and INTERFACE, written down once more (``world``, ``happening``, ``commands``);
nothing of it looks into the service's code. What a partner does is told by its token.
"""

from __future__ import annotations

import json
import secrets
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from urllib.parse import urlencode

from tests.stateful import commands as model
from tests.stateful.basket import SCARCE, lasting, needed, total
from tests.stateful.client import Client, Reply
from tests.stateful.commands import Asked, Command
from tests.stateful.happening import possible
from tests.stateful.judge import Request, courses
from tests.stateful.steps import Step
from tests.stateful.world import World

_ORDERS = "/api/v1/orders"
_NEXT = {"confirmed": "processing", "processing": "shipped", "shipped": "delivered"}


class Tracked:
    """One order: all that it may be by now, what it says for ever, and what was done to it."""

    def __init__(self, order_id: str, user: str, lasting: dict[str, Any], scarce: int, worlds: set[World]) -> None:
        self.id = order_id
        self.user = user
        self.lasting = lasting
        self.scarce = scarce
        self.worlds = worlds
        self.call = str(uuid.uuid4())
        self.trace: list[str] = []

    @property
    def path(self) -> str:
        """Where it is found."""
        return f"{_ORDERS}/{self.id}"

    @property
    def some(self) -> World:
        """One of the worlds, always the same: only to choose what to ask for next."""
        return min(self.worlds, key=repr)

    def told(self, what: str) -> str:
        """What led to a wrong answer."""
        worlds = "\n".join(sorted(map(repr, self.worlds)))
        return f"{what}\nthe order may be:\n{worlds}\nwhat was done:\n" + "\n".join(self.trace)


class Keyed:
    """A request that had an Idempotency-Key; ``asked`` is what the key is bound to, ``reply`` what it is told."""

    def __init__(self, order: Tracked, send: tuple[str, str, Any, dict[str, str]], command: Command) -> None:
        self.order = order
        self.send = send
        self.command = command
        self.asked: Asked | None = None
        self.reply: Reply | None = None


class Driver:
    """One run: two users, a few orders, and requests to repeat."""

    client: ClassVar[Client]
    twin: ClassVar[Client]
    partners: ClassVar[Client]
    finished: ClassVar[list[Tracked]] = []
    met: ClassVar[Counter[tuple[str, str, str]]] = Counter()
    """How often each status, command and answer came together."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(6)
        self.users = [f"{self.name}-{n}" for n in range(2)]
        self.all: list[Tracked] = []
        self.keyed: list[Keyed] = []
        told = self.partners.send("PUT", f"/sandbox/stock/{self._scarce}", {"quantity": SCARCE})
        assert told.status == 200

    def do(self, step: Step) -> None:
        """Do it; where there is nothing yet that it could be done to, nothing."""
        given = dict(step.given)
        choices: list[Any] = self.keyed if step.word == "repeat" else self.all
        if "which" in given:
            which = given.pop("which")
            if not choices:
                return
            getattr(self, step.word)(choices[which % len(choices)], **given)
        else:
            getattr(self, step.word)(**given)

    @property
    def _scarce(self) -> str:
        return f"scarce-{self.name}"

    # --- creation ---

    def place(self, body: dict[str, Any], user: int, key: bool) -> None:
        """POST an order; with a key, twice, and once with another body."""
        body = body | {"userId": self.users[user]}
        scarce = needed(body, "scarce")
        body["items"] = [i | {"productId": self._scarce} if i["productId"] == "scarce" else i for i in body["items"]]
        low, high = self._left()
        headers = {"Idempotency-Key": f"place-{secrets.token_hex(8)}"} if key else {}
        reply = self.client.send("POST", _ORDERS, body, headers)
        self.met["none", "place", _word(reply)] += 1
        if reply.code == "out-of-stock" and "orderId" not in reply.json:
            assert low < scarce, "there was enough"
            [short] = reply.json["shortages"]
            assert (short["productId"], short["requested"]) == (self._scarce, scarce)
            assert low <= short["available"] <= high
            return
        assert scarce <= high, "there was not enough"
        order = self._tracked(body, scarce, reply)
        if key:
            self._twice(order, ("POST", _ORDERS, body, headers), reply)

    def _left(self) -> tuple[int, int]:
        """Least and most pieces that there may be of the scarce product."""
        held = []
        for order in self.all:
            if order.scarce:
                states = {world.holds[-1] for world in possible(order.worlds)}
                least = order.scarce if states <= {"reserved", "committing", "committed"} else 0
                held.append((least, 0 if states <= {"released", "refused"} else order.scarce))
        return SCARCE - sum(most for _, most in held), SCARCE - sum(least for least, _ in held)

    def _tracked(self, body: dict[str, Any], scarce: int, reply: Reply) -> Tracked:
        assert reply.status in (201, 202, 409), reply
        order_id = reply.json["orderId" if reply.code else "id"]
        token = body.get("paymentMethod", {}).get("token")
        placed = World(total(body), token, scarce > 0)
        order = Tracked(order_id, body["userId"], lasting(body), scarce, {placed})
        self.all.append(order)
        self.finished.append(order)
        place: Command = lambda world: iter([model.Decided(world, Asked("place"), waits=True)])  # noqa: E731
        self._judge(order, "place", body, [Request(place, reply)])
        if not reply.code:
            assert reply.headers["location"] == order.path
        return order

    def _twice(self, order: Tracked, send: tuple[str, str, Any, dict[str, str]], first: Reply) -> None:
        again = self.client.send(*send)
        assert again.replayed, order.told("a repeat says that it is one")
        if first.status == 202:
            self._judge(order, "repeat", "place", [Request(model.repeated(Asked("place")), again)])
        else:
            assert (again.status, again.body) == (first.status, first.body), order.told("a repeat is told the same")
        method, path, body, headers = send
        other = self.client.send(method, path, body | {"notes": "another"}, headers)
        assert (other.status, other.code) == (422, "idempotency-key-reused")

    # --- commands ---

    def pay(self, order: Tracked, token: str | None, key: bool, seen: int) -> None:
        """Pay with some token, or with the order's own."""
        body = None if token is None else {"paymentMethod": {"token": token}}
        self._command(order, "pay", ("POST", "/payment", body), model.pay(token), key=key, seen=seen)

    def pay_after_late_money(self, order: Tracked) -> None:
        """A declined or voided attempt takes its money after all, and the order is paid again: surplus goes back."""
        number = len(order.some.attempts)
        closed = {w.attempts[-1].status if w.attempts else "" for w in possible(order.worlds)}
        if (
            not number
            or not closed <= {"declined", "voided"}
            or {w.cancelled for w in possible(order.worlds)} != {None}
        ):
            return
        taken = self.partners.send("POST", f"/sandbox/payments/{order.id}-p{number}/capture")
        order.trace.append(f"attempt {number} takes its money after all")
        if taken.status == 200:
            order.worlds = {world.attempt(number, partner="succeeded") for world in order.worlds}
        self.pay(order, "tok_visa", False, 0)

    def cancel(self, order: Tracked, key: bool, seen: int) -> None:
        """Cancel."""
        self._command(order, "cancel", ("POST", "/cancel", {"reason": "changed"}), model.cancel, key=key, seen=seen)

    def put(self, order: Tracked, to: str, key: bool, seen: int) -> None:
        """PUT any status."""
        shipment = {"carrier": "Post", "trackingNumber": "EX-1"} if to == "shipped" and key else None
        body = {"status": to} | ({"shipment": shipment} if shipment else {})
        self._command(
            order, "put", ("PUT", "/status", body), model.put(to, shipment=shipment is not None), key=key, seen=seen
        )

    def refund(self, order: Tracked, part: int, key: bool, seen: int) -> None:
        """Refund a part, all that is left, all but a bit, or more than that."""
        left = order.some.refundable
        amount = {0: None, 1: 1, 2: max(1, left // 2), 3: max(1, left - 1), 4: left + 1}[part]
        body = {"reason": "dent"} | ({} if amount is None else {"amount": amount})
        self._command(order, "refund", ("POST", "/refunds", body), model.refund(amount), key=key, seen=seen)

    def mend(self, order: Tracked, give_up: bool, note: bool) -> None:
        """Retry or give up the call that the order waits for, or any."""
        reply = self.client.send("GET", order.path)
        self._judge(order, "get", "", [Request(model.read, reply)])
        waits = reply.json["attention"]
        word = "give-up" if give_up else "retry"
        path = f"/calls/{waits['callId'] if waits else order.call}/{word}"
        body = {"note": "settled by hand"} if give_up and note else None
        if waits:
            self._command(order, word, ("POST", path, body), model.give_up(note) if give_up else model.retry)
        else:
            told = self.client.send("POST", order.path + path, body)
            assert (told.status, told.code) == (404, "call-not-found")

    def go_on(self, order: Tracked, token: str) -> None:
        """The next lawful step, so that orders come far."""
        status = order.some.status
        if status in _NEXT:
            self.put(order, _NEXT[status], False, 0)
        elif status in ("pending", "payment_failed"):
            self.pay(order, token, False, 0)

    def two_at_once(self, order: Tracked, first: int, second: int) -> None:
        """Two commands under way together: there is an order of events in which both answers are right."""
        choices: list[tuple[str, str, Any, Command]] = [
            ("POST", "/payment", {"paymentMethod": {"token": "tok_visa"}}, model.pay("tok_visa")),
            ("POST", "/cancel", {}, model.cancel),
            ("PUT", "/status", {"status": "processing"}, model.put("processing")),
            ("PUT", "/status", {"status": "shipped"}, model.put("shipped")),
            ("POST", "/refunds", {"reason": "dent", "amount": 1}, model.refund(1)),
        ]
        chosen = [choices[first], choices[second]]
        with ThreadPoolExecutor(2) as pool:
            asked = [
                (c, m, order.path + p, b) for c, (m, p, b, _) in zip((self.client, self.twin), chosen, strict=True)
            ]
            replies = list(pool.map(lambda a: a[0].send(*a[1:]), asked))
        requests = [Request(command, reply) for (*_, command), reply in zip(chosen, replies, strict=True)]
        self._judge(order, "two at once", [c[:3] for c in chosen], requests)

    def repeat(self, keyed: Keyed, other: bool) -> None:
        """The same request under its key; and one with another body, which is refused if the key is bound."""
        order = keyed.order
        reply = self.client.send(*keyed.send)
        what = keyed.send
        if keyed.reply is not None:
            told = order.told(f"{what}: {reply}\nbefore: {keyed.reply}")
            assert (reply.status, reply.body) == (keyed.reply.status, keyed.reply.body), told
            assert reply.headers.get("etag") == keyed.reply.headers.get("etag"), told
        elif keyed.asked is not None:
            self._judge(order, "repeat", what, [Request(model.repeated(keyed.asked), reply)])
        else:
            self._learn(keyed, self._judge(order, "repeat", what, [Request(keyed.command, reply)]), reply)
            return
        assert reply.replayed, order.told(f"{what}: a repeat says that it is one")
        self.met[order.some.status, "repeat", _word(reply)] += 1
        if keyed.reply is None and reply.status != 202:
            keyed.reply = reply
        if other:
            method, path, body, headers = keyed.send
            changed = {"reason": "another"} if body is None or "reason" in body else body | {"reason": "another"}
            told = self.client.send(method, path, changed, headers)
            assert told.code in ("idempotency-key-reused", "validation-failed"), order.told(f"{what}: {told}")

    # --- reading ---

    def get(self, order: Tracked) -> None:
        """GET it."""
        self._judge(order, "get", "", [Request(model.read, self.client.send("GET", order.path))])

    def history(self, order: Tracked) -> None:
        """Its changes of status, each from the one before."""
        items = self.client.send("GET", f"{order.path}/history").json["items"]
        told = tuple(item["toStatus"] for item in items)
        fits = {world for world in possible(order.worlds) if world.history == told}
        assert fits, order.told(f"history {told}")
        order.worlds = fits
        assert [item["fromStatus"] for item in items] == [None, *told[:-1]]
        versions = [item["version"] for item in items]
        assert versions == sorted({*versions})

    def of_user(self, user: int, limit: int, status: str | None) -> None:
        """A user's orders, page by page, newest first; perhaps those of one status only."""
        query: dict[str, Any] = {"limit": limit} | ({"status": status} if status else {})
        found: list[dict[str, Any]] = []
        while True:
            page = self.client.send("GET", f"{_ORDERS}/user/{self.users[user]}?{urlencode(query)}").json
            found += page["items"]
            if page["nextCursor"] is None:
                break
            assert len(page["items"]) == limit
            query["cursor"] = page["nextCursor"]
        mine = [order for order in reversed(self.all) if order.user == self.users[user]]
        listed = {item["id"]: item for item in found}
        assert [item["id"] for item in found] == [order.id for order in mine if order.id in listed]
        for order in mine:
            item = listed.get(order.id)
            if item is not None:
                reply = Reply(200, {"etag": f'"{item["version"]}"'}, _bytes(item))
                self._judge(order, "list", "", [Request(model.read, reply)])
                assert status in (None, item["status"])
            else:
                order.worlds = {world for world in possible(order.worlds) if status not in (None, world.status)}
                assert order.worlds, order.told(f"not listed among {status or 'all'}")

    def nobody(self, what: str) -> None:
        """What there is not is not found."""
        method, _, path = what.partition(" ")
        body = {"PUT /status": {"status": "shipped"}, "POST /refunds": {"reason": "x"}}.get(what)
        reply = self.client.send(method, f"{_ORDERS}/{uuid.uuid4()}{path}", body)
        assert (reply.status, reply.code) == (404, "order-not-found")

    # --- the judgement ---

    def _command(
        self,
        order: Tracked,
        word: str,
        send: tuple[str, str, Any],
        command: Command,
        *,
        key: bool = False,
        seen: int = 0,
    ) -> None:
        """Send a command: ``key`` with an Idempotency-Key, ``seen`` 1: with the version seen last, 2: an older one."""
        method, path, body = send
        headers = {"Idempotency-Key": f"key-{secrets.token_hex(8)}"} if key else {}
        if seen in (1, 2):
            version = order.some.version - (seen - 1) or 9
            headers["If-Match"] = f'"{version}"'
            command = model.if_match(version, command)
        reply = self.client.send(method, order.path + path, body, headers)
        asked = self._judge(order, word, (method, path, body, headers), [Request(command, reply)])
        if key:
            keyed = Keyed(order, (method, order.path + path, body, headers), command)
            self._learn(keyed, asked, reply)
            self.keyed.append(keyed)

    @staticmethod
    def _learn(keyed: Keyed, asked: Asked | None, reply: Reply) -> None:
        """A refusal that wrote nothing leaves the key free; 202 is not remembered."""
        keyed.asked = asked
        if asked is not None and reply.status != 202:
            keyed.reply = reply

    def _judge(self, order: Tracked, word: str, what: Any, requests: list[Request]) -> Asked | None:
        """The answers are right; what the first request asked, if it wrote something or met what it asked for."""
        told = " & ".join(f"{r.reply.status} {r.reply.body.decode()}" for r in requests)
        possible_now = courses(order.worlds, requests)
        assert possible_now, order.told(f"{word} {what}\nwas answered: {told}")
        for request in requests:
            self.met[order.some.status, word, _word(request.reply)] += 1
            _check_reply(order, request.reply)
        order.trace.append(f"{word} {what} -> {told}")
        order.worlds = set(possible_now)
        asked = {found[0] for found in possible_now.values()}
        assert len(asked) == 1 or len(requests) > 1
        return asked.pop()


def _check_reply(order: Tracked, reply: Reply) -> None:
    """What stands in an answer beside the order's state."""
    body = reply.json
    if reply.code is None:
        assert reply.headers["etag"] == f'"{body["version"]}"'
        assert {name: body[name] for name in order.lasting} == order.lasting
        assert "tok_" not in reply.body.decode()
        return
    assert body["status"] == reply.status
    if reply.code in ("payment-in-progress", "stock-not-reserved"):
        assert int(reply.headers["retry-after"]) > 0


def _word(reply: Reply) -> str:
    return f"{reply.status} {reply.code or ''}".strip()


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()
