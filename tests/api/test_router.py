"""From a path to its operation."""

from __future__ import annotations

import pytest

from order_service.api.app import create_app
from order_service.api.operations import CALL, ORDER, ORDERS

from .recorder import Recorder

ROUTER = create_app(Recorder()).router


@pytest.mark.parametrize(
    ("path", "template", "params"),
    [
        (ORDERS, ORDERS, {}),
        (f"{ORDERS}/1", ORDER, {"orderId": "1"}),
        (f"{ORDERS}/user/bob", f"{ORDERS}/user/{{userId}}", {"userId": "bob"}),
        (f"{ORDERS}/user/payment", f"{ORDERS}/user/{{userId}}", {"userId": "payment"}),
        (f"{ORDERS}/1/payment", f"{ORDER}/payment", {"orderId": "1"}),
        (f"{ORDERS}/1/calls/2/retry", f"{CALL}/retry", {"orderId": "1", "callId": "2"}),
        ("/docs/errors/x", "/docs/errors/{code}", {"code": "x"}),
        ("/health", "/health", {}),
    ],
)
def test_a_path_leads_to_its_template_and_a_literal_goes_before_a_parameter(
    path: str, template: str, params: dict[str, str]
) -> None:
    endpoints, found = ROUTER.find(path)
    assert {endpoint.operation.path for endpoint in endpoints.values()} == {template}
    assert found == params


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", f"{ORDERS}/user", f"{ORDERS}/1/pay", f"{ORDERS}/1/payment/2"])
def test_other_paths_lead_nowhere(path: str) -> None:
    assert ROUTER.find(path)[0] == {}
