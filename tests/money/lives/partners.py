"""The sandbox's world behind the paths of the published contracts, without sockets and without waiting."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from order_service.sandbox import contract
from order_service.sandbox.outcome import Outcome, refusal
from order_service.sandbox.world import World

Decide = Callable[[], Outcome]
_END = re.compile(r"/api/v1/inventory/reservations/([^/]+)/(release|commit)")
_CLEAR = re.compile(r"/api/v1/carts/([^/]+)/clear")
_REFUND = re.compile(r"/api/v1/payments/([^/]+)/refunds")


class Counter:
    """Serves one request as the sandbox does: the same memory, keys, ledger and clock."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.world = World(folder, clock)
        self.refunds_refused: list[str] = []

    def serve(self, method: str, path: str, body: bytes, key: str) -> Outcome:
        """The partner's answer; a write acts once for its key."""
        self.world.settle_due()
        try:
            return self._read(path) if method == "GET" else self._write(path, body, key)
        except contract.Malformed as fault:
            return refusal(fault.status, "malformed", str(fault))

    def _read(self, path: str) -> Outcome:
        found, _, reference = path.partition("?reference=")
        payments = self.world.payments
        return payments.find(reference) if reference else payments.view(found.rpartition("/")[2])

    def _write(self, path: str, body: bytes, key: str) -> Outcome:
        scope = f"{path} {key}"
        known = self.world.remembered(scope, body)
        if known is not None:
            return known
        outcome = self.world.settle(self._decide(path, body, key), scope, body)
        if "/refunds" in path and outcome.status == 409:
            self.refunds_refused.append(key)
        return outcome

    def _decide(self, path: str, body: bytes, key: str) -> Outcome:
        world = self.world
        if path == "/api/v1/payments":
            return world.payments.charge(contract.read(body, contract.Charge), key, world.now())
        if path == "/api/v1/payments/void":
            return world.payments.void(contract.read(body, contract.Void), key)
        if path == "/api/v1/inventory/reservations":
            return world.stock.reserve(contract.read(body, contract.Reserve), key)
        if found := _REFUND.fullmatch(path):
            return world.payments.refund(found[1], contract.read(body, contract.Refund), key, world.now())
        if found := _CLEAR.fullmatch(path):
            return world.carts.clear(found[1], contract.read(body, contract.ClearCart), key)
        found = _END.fullmatch(path)
        assert found, path
        if found[2] == "commit":
            return world.stock.commit(found[1], key)
        return world.stock.release(found[1], contract.read(body, contract.EndReservation), key)

    def capture(self, reference: str) -> None:
        """The payment service settles late: it takes the money of a payment, whatever became of it."""
        self.world.settle_due()
        self.world.settle(self.world.payments.capture(reference))
