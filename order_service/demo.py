"""Two orders through their whole life, against the running service and through its public API only."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

from pydantic import SecretStr

from order_service.config import Settings
from order_service.running import endpoints
from order_service.timeline import NotThere, read_timeline, render_timeline

SETTLED_WITHIN_S = 20.0


class DemoFailed(Exception):
    """A step was not answered as it should have been; the message says which."""


class _Api:
    def __init__(self, base: str, key: SecretStr | None) -> None:
        self._base = base
        self._credentials = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    def __call__(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request with a fresh Idempotency-Key; the decoded answer."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        request = urllib.request.Request(  # noqa: S310 - the address of our own service
            f"{self._base}/api/v1/orders{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=headers | self._credentials,
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310
                decoded: dict[str, Any] = json.load(answer)
                return decoded
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise DemoFailed(
                    "the service must know who calls: set ORDER_SERVICE_API_KEY to a key of scope service or staff, "
                    "made by `order-service keys create`."
                ) from None
            told = error.read().decode(errors="replace")
            raise DemoFailed(f"{method} {path or '/'} was answered with {error.code}: {told}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise DemoFailed(
                f"no service answers at {self._base} ({reason}); start one with `make run` in another terminal."
            ) from None

    def until(self, order_id: str, settled: dict[str, str]) -> dict[str, Any]:
        """Read the order until these fields have these values."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            order = self("GET", f"/{order_id}")
            if all(order[name] == value for name, value in settled.items()):
                return order
            time.sleep(0.1)
        raise DemoFailed(f"order {order_id} did not reach {settled} within {SETTLED_WITHIN_S:.0f} seconds.")


def _basket() -> dict[str, Any]:
    return {
        "userId": "demo-user",
        "currency": "EUR",
        "items": [
            {"productId": "espresso-machine", "name": "Espresso machine", "quantity": 1, "unitPrice": 24900},
            {"productId": "cup", "name": "Cup", "quantity": 4, "unitPrice": 850},
        ],
        "shippingAddress": {
            "name": "Ada Example",
            "line1": "1 Main Street",
            "city": "Springfield",
            "postalCode": "62701",
            "country": "US",
        },
        "paymentMethod": {"token": "tok_visa"},
        "shippingCost": 490,
        "tax": 5510,
    }


def run_demo(settings: Settings, *, as_json: bool) -> None:
    """Drive both lives and print their timelines; raises ``DemoFailed`` at the first step that goes wrong."""
    known = endpoints(settings)
    api = _Api(known["api"], settings.api_key)
    delivered = _delivered_life(api)
    refunded = _refunded_life(api)
    try:
        timelines = [read_timeline(settings, order_id) for order_id in (delivered, refunded)]
    except NotThere as error:
        raise DemoFailed(str(error)) from None
    if as_json:
        print(json.dumps(timelines, indent=1))
        return
    for timeline in timelines:
        render_timeline(timeline)


def _delivered_life(api: _Api) -> str:
    order_id: str = api("POST", "", _basket())["id"]
    api("POST", f"/{order_id}/payment")
    api("PUT", f"/{order_id}/status", {"status": "processing"})
    shipment = {"carrier": "Example Post", "trackingNumber": "EX-1234567", "url": "https://example.com/EX-1234567"}
    api("PUT", f"/{order_id}/status", {"status": "shipped", "shipment": shipment})
    api("PUT", f"/{order_id}/status", {"status": "delivered", "reason": "signed for"})
    api.until(order_id, {"status": "delivered", "stock": "committed"})
    return order_id


def _refunded_life(api: _Api) -> str:
    order_id: str = api("POST", "", _basket())["id"]
    api("POST", f"/{order_id}/payment")
    api("POST", f"/{order_id}/cancel", {"reason": "changed my mind"})
    api.until(order_id, {"status": "refunded", "stock": "released"})
    return order_id
