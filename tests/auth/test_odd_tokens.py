"""Tokens of the issuer itself whose every member may be of any type: believed or not, never a fault of ours."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from order_service.auth.callers import BadToken
from order_service.auth.key_set import KeySet
from order_service.auth.sources import FileSource
from order_service.auth.tokens import JwtVerifier
from order_service.requests import Principal
from tests.auth.issuer import AUDIENCE, Issuer, b64, by_hand

ISSUER = Issuer()
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HEADER = ("alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "x5t", "cty", "zip", "p2c", "other")
CLAIMS = ("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "scope", "scopes", "cnf", "other")


async def outcome(folder: Path, token: str) -> Principal | BadToken:
    """What the verifier makes of a token."""
    file = folder / "keys.json"
    file.write_bytes(ISSUER.key_set())
    keys = KeySet(FileSource(file))
    verifier = JwtVerifier(keys, issuer=ISSUER.name, audience=AUDIENCE, algorithms=["RS256", "ES256", "EdDSA"])
    try:
        return await verifier.verify(token)
    except BadToken as fault:
        return fault
    finally:
        await keys.close()


def test_no_member_of_any_type_is_a_fault_of_ours(tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("keys")

    @settings(max_examples=100, deadline=None)
    @given(st.dictionaries(st.sampled_from(HEADER), ODD), st.dictionaries(st.sampled_from(CLAIMS), ODD))
    @example({"alg": ["RS256"]}, {})
    @example({"kid": {}}, {})
    @example({}, {"sub": ["ada"], "scope": "staff"})
    @example({}, {"exp": 10**400})
    def holds(header: dict[str, Any], claims: dict[str, Any]) -> None:
        head = json.dumps({"alg": "RS256", "kid": "rsa-1"} | header).encode()
        payload = json.dumps(ISSUER.claims() | claims).encode()
        token = by_hand(b64(head), payload, "RS256", ISSUER.keys["rsa-1"][1])
        found = asyncio.run(outcome(folder, token))
        assert isinstance(found, BadToken) or found.name == f"{found.scope}:{found.user}"

    holds()


def test_no_bytes_are_a_fault_of_ours(tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("keys")

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=40), st.binary(max_size=40))
    @example(b"\xff", b"{}")
    @example(b"[" * 3000, b"{}")
    @example(b'{"alg":"RS256","kid":"rsa-1"}', b"[" * 6000)
    @example(b'{"alg":"RS256","kid":"rsa-1"}', b'{"exp":' + b"9" * 5000 + b"}")
    def holds(head: bytes, payload: bytes) -> None:
        token = by_hand(b64(head), payload, "RS256", ISSUER.keys["rsa-1"][1])
        assert isinstance(asyncio.run(outcome(folder, token)), BadToken)

    holds()
