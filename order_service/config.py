"""Settings: environment variables with the prefix ``ORDER_SERVICE_``, checked at start with one sentence a fault."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from order_service.core.model import KEY_SAFE_PART, Policy


class BadSettings(Exception):
    """The settings contradict themselves; the message is one sentence for people."""


class Settings(BaseSettings):
    """All that can be set from outside; durations are seconds."""

    model_config = SettingsConfigDict(env_prefix="ORDER_SERVICE_", env_ignore_empty=True, extra="ignore")

    database_url: str | None = None
    kafka_bootstrap_servers: str | None = None
    payment_url: str | None = None
    inventory_url: str | None = None
    cart_url: str | None = None

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    data_dir: Path = Path(".data")
    workers: int = Field(1, ge=1, le=64)
    share_port: Literal["on", "off"] = "off"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    auth: Literal["on", "off"] = "on"
    api_key: SecretStr | None = None
    """What our own commands send to a service that wants to know who calls."""
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_jwks_url: str | None = None
    jwt_jwks_file: Path | None = None
    jwt_algorithms: str = "RS256,ES256,EdDSA"

    request_deadline: float = Field(6, gt=0)
    partner_timeout: float = Field(7, gt=0)
    lease: float = Field(9, gt=0)
    unpaid_ttl: float = Field(1800, gt=0)
    attempt_deadline: float = Field(900, gt=0)
    retry_hold: float = Field(0, ge=0)
    payment_key_ttl: float = Field(86400, gt=0)
    """How long the payment service remembers an Idempotency-Key."""
    drain_delay: float = Field(0, ge=0)
    drain_idle: float = Field(10, ge=0)

    events_topic: str = "orders.events"
    events_personal: Literal["on", "off"] = "off"

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _deadlines_nest(self) -> Settings:
        if not self.request_deadline < self.partner_timeout < self.lease:
            raise ValueError(
                "REQUEST_DEADLINE < PARTNER_TIMEOUT < LEASE must hold, or two processes could make the same call"
            )
        if self.attempt_deadline + 2 * self.lease >= KEY_SAFE_PART * self.payment_key_ttl:
            raise ValueError(
                "ATTEMPT_DEADLINE + twice LEASE must be less than four fifths of PAYMENT_KEY_TTL, "
                "or a charge could be sent when its key is forgotten"
            )
        return self

    @property
    def policy(self) -> Policy:
        """The operator's choices, as the rules want them."""
        return Policy(self.unpaid_ttl, self.attempt_deadline, self.retry_hold)

    def need(self, *names: str) -> None:
        """Raise ``BadSettings`` naming the first of these settings that is missing."""
        for name in names:
            if getattr(self, name) is None:
                raise BadSettings(f"ORDER_SERVICE_{name.upper()} is not set.")

    def check_auth(self) -> None:
        """Without authentication the service listens on this machine only."""
        if self.auth == "off" and not _is_loopback(self.host):
            raise BadSettings(f"ORDER_SERVICE_AUTH=off is allowed on a loopback host only, not on {self.host}.")
        if self.tokens:
            self._check_tokens()

    @property
    def tokens(self) -> bool:
        """Whether JSON Web Tokens are believed, and not API keys only."""
        return any((self.jwt_issuer, self.jwt_audience, self.jwt_jwks_url, self.jwt_jwks_file))

    @property
    def token_algorithms(self) -> list[str]:
        """The names in ``jwt_algorithms``."""
        return [name.strip() for name in self.jwt_algorithms.split(",")]

    def _check_tokens(self) -> None:
        from order_service.auth.tokens import ALGORITHMS

        self.need("jwt_issuer", "jwt_audience")
        if (self.jwt_jwks_url is None) == (self.jwt_jwks_file is None):
            raise BadSettings("Set one of ORDER_SERVICE_JWT_JWKS_URL and ORDER_SERVICE_JWT_JWKS_FILE.")
        wrong = [name for name in self.token_algorithms if name not in ALGORITHMS]
        if wrong:
            raise BadSettings(f"ORDER_SERVICE_JWT_ALGORITHMS: {wrong[0] or 'an empty name'} is never allowed.")
        url = urlsplit(self.jwt_jwks_url or "https://file")
        if not url.hostname or not (url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname))):
            raise BadSettings("ORDER_SERVICE_JWT_JWKS_URL must be an https URL; http only on a loopback host.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: object) -> Settings:
    """Read the environment; raises ``BadSettings`` with one sentence that names the variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "".join(f"ORDER_SERVICE_{str(part).upper()}" for part in first["loc"][:1])
        told = first["msg"].removeprefix("Value error, ")
        raise BadSettings(f"{name}: {told}." if name else f"{told}.") from None
