"""The authenticator: one Authorization header, one kind of credential, one principal or a refusal."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

import structlog

from order_service.api.exchange import Exchange
from order_service.api.refusals import Unauthorized
from order_service.auth.api_keys import FOUND_WITHIN_S, PREFIX, ApiKeys
from order_service.problems import ServiceUnavailable
from order_service.requests import Principal
from order_service.store.away import DATABASE_AWAY

log = structlog.get_logger("order_service.auth")

MAX_CREDENTIALS = 8 * 1024
"""Characters of an Authorization header that are looked at."""
_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)


class BadToken(Exception):
    """The token is not believed; the message says why, for the log and for nobody else."""


class Tokens(Protocol):
    """Verifies JSON Web Tokens."""

    async def verify(self, token: str, /) -> Principal:
        """Whose token this is; raises ``BadToken``."""
        ...


class Callers:
    """Finds out who calls. A token of any kind that is not believed gets the same answer; the log says why."""

    def __init__(self, keys: ApiKeys, tokens: Tokens | None) -> None:
        self._keys = keys
        self._tokens = tokens

    async def __call__(self, exchange: Exchange) -> Principal:
        """The caller of this request; raises ``Unauthorized``, or ``ServiceUnavailable`` where nobody can tell."""
        try:
            return await self._caller(exchange.header(b"authorization"))
        except BadToken as fault:
            log.info("not_believed", reason=str(fault), correlation_id=exchange.correlation_id)
            raise Unauthorized from None
        except DATABASE_AWAY as fault:
            log.warning("database_away", fault=f"{type(fault).__name__}: {fault}")
            raise ServiceUnavailable from fault

    async def _caller(self, header: str | None) -> Principal:
        if header is None:
            raise BadToken("no credentials")
        if len(header) > MAX_CREDENTIALS:
            raise BadToken("credentials too long")
        found = _BEARER.fullmatch(header)
        if found is None:
            raise BadToken("not one Bearer token")
        credential = found[1]
        if credential.startswith(PREFIX):
            principal = await self._keys.find(credential)
            if principal is None:
                raise BadToken("unknown, expired or revoked key")
            return principal
        if self._tokens is None:
            raise BadToken("tokens are not set up")
        async with asyncio.timeout(FOUND_WITHIN_S):
            return await self._tokens.verify(credential)
