"""Settings: environment variables with the prefix ``ORDER_SERVICE_``, checked at start with one sentence a fault."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from order_service.core.model import Policy


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
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    auth: Literal["on", "off"] = "on"

    request_deadline: float = Field(6, gt=0)
    partner_timeout: float = Field(7, gt=0)
    lease: float = Field(9, gt=0)
    unpaid_ttl: float = Field(1800, gt=0)
    attempt_deadline: float = Field(900, gt=0)
    retry_hold: float = Field(0, ge=0)

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
