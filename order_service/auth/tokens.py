"""JSON Web Tokens of one trusted issuer, verified with pinned algorithms and its own keys only.

What a token's header says about keys (``jwk``, ``jku``, ``x5u``, ``x5c``) is never looked at: ``kid`` picks one of the
issuer's published keys, and the key must be of the kind that the algorithm needs.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import time
import warnings
from base64 import urlsafe_b64decode
from collections.abc import Collection
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwt import JWTClaimsRegistry

from order_service.api.bodies import USER_ID
from order_service.auth.cache import Fresh
from order_service.auth.callers import BadToken
from order_service.auth.key_set import KeySet, KeysUnavailable
from order_service.auth.strict_json import NotStrict, read_object
from order_service.problems import ServiceUnavailable
from order_service.requests import Principal

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
"""What may be allowed: signatures by a private key. Shared secrets and ``none`` never."""
LEEWAY_S = 30
"""How far clocks may be apart."""
BELIEVED_S = 10.0
"""How long a verified token is not verified again, and so how long a withdrawn key of the issuer may go on."""
MAX_KNOWN = 10_000
MAX_KID = 256
SCOPES = ("staff", "service", "customer")
"""Of several in a token the first of these counts."""

_SHAPE = re.compile(r"([A-Za-z0-9_-]{1,4096})\.([A-Za-z0-9_-]{1,8192})\.([A-Za-z0-9_-]{1,2048})")
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt", "application/jwt"})
_USER = re.compile(USER_ID)
_SUBJECT = re.compile(r"[!-~]{1,128}")

# The name that issuers use for Ed25519 signatures has a successor (RFC 9864) that few of them know.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)


class JwtVerifier:
    """Finds the principal of a token."""

    def __init__(self, keys: KeySet, *, issuer: str, audience: str, algorithms: Collection[str]) -> None:
        assert ALGORITHMS.issuperset(algorithms), "checked with the settings"
        self._keys = keys
        self._algorithms = frozenset(algorithms)
        self._claims = JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._known: Fresh[bytes, Principal] = Fresh(MAX_KNOWN)

    async def verify(self, token: str) -> Principal:
        """Whose token this is; raises ``BadToken``, or ``ServiceUnavailable`` where no key is at hand to tell."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            return known
        claims = await self._verified(token)
        principal = principal_of(claims)
        now = time.time()
        self._known.put(digest, principal, min(claims["exp"] + LEEWAY_S, now + BELIEVED_S) - now)
        return principal

    async def _verified(self, token: str) -> dict[str, Any]:
        parts = _SHAPE.fullmatch(token)
        if parts is None:
            raise BadToken("not a signed token")
        kid, alg = self._header(_decoded(parts[1]))
        try:
            keys = await self._keys.find(kid, alg)
        except KeysUnavailable:
            raise ServiceUnavailable("The keys of the token's issuer cannot be read; try again in a moment.") from None
        registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
        for key in keys:
            try:
                jws.deserialize_compact(token, key, algorithms=[alg], registry=registry)
            except (JoseError, ValueError, TypeError):
                continue
            return self._checked(_decoded(parts[2]))
        raise BadToken("no key of the issuer has signed it")

    def _header(self, header: dict[str, Any]) -> tuple[str | None, str]:
        """Key id and algorithm."""
        alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
        if not isinstance(alg, str) or alg not in self._algorithms:
            raise BadToken("algorithm not allowed")
        if "crit" in header or "b64" in header:
            raise BadToken("extensions are not understood")
        if not isinstance(typ, str) or typ.lower() not in _TYPES:
            raise BadToken("another type of token")
        if not isinstance(kid, str | None) or len(kid or "") > MAX_KID:
            raise BadToken("the key id is none")
        return kid, alg

    def _checked(self, claims: dict[str, Any]) -> dict[str, Any]:
        try:
            self._claims.validate(claims)
        except JoseError as fault:
            raise BadToken(f"{fault.error}: {fault.description}") from None
        except (OverflowError, ValueError, TypeError):
            raise BadToken("the claims cannot be read") from None
        return claims


def principal_of(claims: dict[str, Any]) -> Principal:
    """Who calls with these claims. Of a token without a scope of ours, somebody whom no operation serves."""
    subject = claims["sub"]
    granted = _scopes(claims)
    scope = next((scope for scope in SCOPES if scope in granted), "none")
    if not (_USER if scope == "customer" else _SUBJECT).fullmatch(subject):
        raise BadToken("the subject cannot be a user")
    return Principal(f"{scope}:{subject}", scope, subject)


def _scopes(claims: dict[str, Any]) -> list[str]:
    """The names in ``scope`` or ``scopes``, parted by spaces or a list."""
    if ("scope" in claims) == ("scopes" in claims):
        raise BadToken("one of scope and scopes is needed")
    found = claims.get("scope", claims.get("scopes"))
    if isinstance(found, str):
        return found.split(" ")
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return found
    raise BadToken("the scope cannot be read")


def _decoded(part: str) -> dict[str, Any]:
    try:
        return read_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (NotStrict, binascii.Error) as fault:
        raise BadToken(f"cannot be read: {fault}") from None
