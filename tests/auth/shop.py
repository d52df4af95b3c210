"""A running system whose callers have credentials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from tests.system.harness import PATIENCE_S, Answer, System, basket

ORDERS = "/api/v1/orders"


class Shop(System):
    """The service with AUTH=on."""

    def __init__(self, database: str, bootstrap: str, folder: Path, **env: str) -> None:
        super().__init__(database, bootstrap, folder, **({"AUTH": "on"} | env))

    def cli(self, *argv: str, code: int = 0) -> str:
        """What a command prints; on stderr if it is expected to fail."""
        done = subprocess.run(
            [sys.executable, "-m", "order_service", *argv],
            env=os.environ | self.service_env(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def key(self, scope: str, user: str | None = None, *more: str) -> dict[str, Any]:
        """A new key: id, key, scope, user."""
        whose = () if user is None else ("--user", user)
        made: dict[str, Any] = json.loads(self.cli("keys", "create", "--scope", scope, *whose, *more, "--json"))
        return made

    def ask(self, credential: str | None, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request of this caller, on a connection of its own: a loop for each would take most of the time."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if credential is not None:
            sent["Authorization"] = f"Bearer {credential}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return Answer(answer.status, CIMultiDict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def fill_cart(self, user: str, **changes: Any) -> None:
        """Put into the user's cart what `cart_order` orders."""
        cart = {
            "currency": "USD",
            "items": [
                {"productId": "shirt", "quantity": 2, "unitPrice": 1999},
                {"productId": "shoes", "quantity": 1, "unitPrice": 8950},
            ],
            "tax": 300,
            "discount": 0,
        }
        self.partner("PUT", f"/sandbox/carts/{user}", cart | changes)


def cart_order(user: str, **changes: Any) -> dict[str, Any]:
    """The order of a customer that agrees with the cart."""
    return basket(userId=user, shippingCost=0) | changes
