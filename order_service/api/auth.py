"""Who calls, and whether this route is theirs.

Every route names the scopes it serves; the default is to refuse. With ``off``, which is for one's own machine, every
caller is ``staff:local``.
"""

from __future__ import annotations

from typing import Literal, Protocol

from order_service.api.exchange import Exchange
from order_service.problems import MissingScope
from order_service.requests import Principal

Scopes = frozenset[str]

ANYONE: Scopes = frozenset({"customer", "service", "staff"})
SHOP: Scopes = frozenset({"service", "staff"})
STAFF: Scopes = frozenset({"staff"})
OPEN: Scopes = frozenset()
"""For what is shown without any credentials: health, documentation."""


class Authenticator(Protocol):
    """Finds out who calls; raises ``Unauthorized``."""

    async def __call__(self, exchange: Exchange, /) -> Principal:
        """The caller of this request."""
        ...


LOCAL = Principal("staff:local", "staff", None)


async def local(_: Exchange) -> Principal:
    """Every caller is the person at this machine."""
    return LOCAL


Mode = Literal["off"] | Authenticator


def authenticator(mode: Mode) -> Authenticator:
    """The authenticator of a mode, or the one that is given."""
    return local if mode == "off" else mode


def permit(principal: Principal, scopes: Scopes) -> None:
    """Refuse a caller whose scope the route does not serve."""
    if principal.scope not in scopes:
        raise MissingScope(scopes)
