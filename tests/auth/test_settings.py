"""Who must be known where: what the settings allow, and what they refuse in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from order_service.config import BadSettings, load_settings

GOOD = {"jwt_issuer": "https://id", "jwt_audience": "orders", "jwt_jwks_url": "https://id/keys"}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTH", "HOST", "JWT_ISSUER", "JWT_AUDIENCE", "JWT_JWKS_URL", "JWT_JWKS_FILE", "JWT_ALGORITHMS"):
        monkeypatch.delenv(f"ORDER_SERVICE_{name}", raising=False)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "0.0.0.0"},
        {"auth": "off", "host": "localhost"},
        {"auth": "off", "host": "::1"},
        GOOD,
        GOOD | {"jwt_jwks_url": "http://127.0.0.1:8080/keys"},
        {"jwt_issuer": "me", "jwt_audience": "orders", "jwt_jwks_file": "/etc/keys.json"},
        GOOD | {"jwt_algorithms": "RS256, PS512"},
    ],
)
def test_this_is_allowed(given: dict[str, Any]) -> None:
    load_settings(**given).check_auth()


def test_who_calls_must_be_known_unless_somebody_says_otherwise() -> None:
    assert load_settings().auth == "on"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"auth": "off", "host": "0.0.0.0"}, "AUTH=off is allowed on a loopback host only, not on 0.0.0.0"),
        ({"auth": "off", "host": "::"}, "loopback host only"),
        ({"auth": "off", "host": "127.0.0.1.example.com"}, "loopback host only"),
        ({"jwt_issuer": "https://id"}, "JWT_AUDIENCE is not set"),
        ({"jwt_jwks_url": "https://id/keys"}, "JWT_ISSUER is not set"),
        ({"jwt_issuer": "me", "jwt_audience": "orders"}, "Set one of"),
        (GOOD | {"jwt_jwks_file": "/etc/keys.json"}, "Set one of"),
        (GOOD | {"jwt_jwks_url": "http://id/keys"}, "must be an https URL"),
        (GOOD | {"jwt_jwks_url": "http://127.0.0.1.example.com/keys"}, "must be an https URL"),
        (GOOD | {"jwt_jwks_url": "file:///etc/keys.json"}, "must be an https URL"),
        (GOOD | {"jwt_jwks_url": "keys"}, "must be an https URL"),
        (GOOD | {"jwt_algorithms": "RS256,HS256"}, "HS256 is never allowed"),
        (GOOD | {"jwt_algorithms": "none"}, "none is never allowed"),
        (GOOD | {"jwt_algorithms": "RS256,"}, "an empty name is never allowed"),
    ],
)
def test_this_is_refused_in_one_sentence(given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSettings) as refused:
        load_settings(**given).check_auth()
    assert told in str(refused.value)
