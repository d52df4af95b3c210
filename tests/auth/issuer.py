"""An identity provider: keys of every kind, tokens good and bad, and a real socket that serves the key set."""

from __future__ import annotations

import json
import threading
import time
import warnings
from base64 import urlsafe_b64encode
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

AUDIENCE = "order-service"


class Issuer:
    """Serves its keys at `url`; `hits` counts who asked, `answer` replaces the answer, `delay_s` slows it down."""

    def __init__(self, owner: str = "issuer") -> None:
        self.keys = dict(_keys_of(owner))
        self.hits = 0
        self.delay_s = 0.0
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                issuer.hits += 1
                time.sleep(issuer.delay_s)
                status, headers, body = issuer.answer or (200, {}, issuer.key_set())
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = "Content-Length" in headers  # it says more than there is

            def log_message(self, *_: Any) -> None:
                """Not on the tests' terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.name = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.name}/keys.json"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settings(self) -> dict[str, str]:
        """What the service is told about this issuer."""
        return {"JWT_ISSUER": self.name, "JWT_AUDIENCE": AUDIENCE, "JWT_JWKS_URL": self.url}

    def key_set(self) -> bytes:
        """The public keys, a shared secret and a key for encryption that must never count, and one of no known kind."""
        public = [key.as_dict(private=False) | {"kid": kid, "alg": alg} for kid, (alg, key) in self.keys.items()]
        others = [
            {"kty": "oct", "kid": "secret", "k": b64(b"s" * 32)},
            {"kty": "AKP", "kid": "future", "pub": "AA"},
            self.keys["rsa-1"][1].as_dict(private=False) | {"kid": "for-encryption", "use": "enc"},
        ]
        return json.dumps({"keys": [*public, *others]}).encode()

    def claims(self, sub: str = "ada", scope: Any = "customer", **changes: Any) -> dict[str, Any]:
        """Claims that are good now; a change to None takes a claim out, times are given in seconds from now."""
        now = int(time.time())
        for name in ("exp", "nbf", "iat"):
            if type(changes.get(name)) is int:
                changes[name] += now
        told = {"iss": self.name, "aud": AUDIENCE, "sub": sub, "scope": scope, "iat": now, "exp": now + 600} | changes
        return {name: value for name, value in told.items() if value is not None}

    def token(self, claims: dict[str, Any] | bytes | None = None, kid: str | None = "rsa-1", **header: Any) -> str:
        """A token signed with the key `kid`."""
        alg, key = self.keys[kid or "rsa-1"]
        return signed(
            {"alg": alg, "typ": "JWT"} | ({} if kid is None else {"kid": kid}) | header,
            self.claims() if claims is None else claims,
            key,
        )


@cache
def _keys_of(owner: str) -> dict[str, tuple[str, Key]]:
    """Made once for each owner: making RSA keys takes longer than most tests."""
    assert owner
    return {
        "rsa-1": ("RS256", RSAKey.generate_key(2048)),
        "ec-1": ("ES256", ECKey.generate_key("P-256")),
        "ed-1": ("EdDSA", OKPKey.generate_key("Ed25519")),
    }


def signed(header: dict[str, Any], claims: dict[str, Any] | bytes, key: Key) -> str:
    """A token with this header, whatever it says, signed by the algorithm that it names."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    head = b64(json.dumps(header).encode())
    return by_hand(head, payload, header["alg"], key)


def by_hand(head: str, payload: bytes, alg: str, key: Key) -> str:
    """A token whose header is already encoded."""
    told = f"{head}.{b64(payload)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f"{told}.{b64(jws.JWSRegistry.algorithms[alg].sign(told.encode(), key))}"


def b64(raw: bytes) -> str:
    """Base64 as tokens have it."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
