"""JSON Web Tokens on the running service: the good ones, and every way to forge one."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.auth.issuer import AUDIENCE, Issuer, b64, by_hand, signed
from tests.auth.shop import ORDERS, Shop, cart_order
from tests.system.harness import basket

ABSENT = f"{ORDERS}/{uuid.UUID(int=1)}"


@pytest.fixture(scope="module")
def thief() -> Iterator[Issuer]:
    """Somebody else's provider, with keys of the same names."""
    with Issuer("thief") as running:
        yield running


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1", "ed-1"])
def test_a_token_of_each_pinned_algorithm_is_believed(shop: Shop, issuer: Issuer, kid: str) -> None:
    answer = shop.ask(issuer.token(kid=kid), "GET", ABSENT)
    assert (answer.status, answer.json["code"]) == (404, "order-not-found")


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": None, "scopes": ["openid", "staff"]},
        {"scope": "openid staff customer"},
        {"aud": ["another", AUDIENCE]},
        {"exp": -20},
        {"nbf": 20},
        {"iat": None, "jti": "1", "name": "Ada"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_what_issuers_write_differently_is_read(shop: Shop, issuer: Issuer, changes: dict[str, Any]) -> None:
    claims = issuer.claims(**({"scope": "staff"} | changes))
    assert shop.ask(issuer.token(claims), "GET", ABSENT).status == 404


def test_headers_about_keys_are_ignored_in_a_good_token(shop: Shop, issuer: Issuer, thief: Issuer) -> None:
    token = issuer.token(jku=thief.url, typ="at+jwt")
    assert shop.ask(token, "GET", ABSENT).status == 404
    assert thief.hits == 0


def test_a_customer_by_token_and_by_key_is_the_same_one(shop: Shop, issuer: Issuer) -> None:
    key, token = shop.key("customer", "both")["key"], issuer.token(issuer.claims("both"))
    shop.fill_cart("both")
    placed = shop.ask(token, "POST", ORDERS, cart_order("both"), Idempotency_Key="one")
    assert placed.status == 201, placed.body
    again = shop.ask(key, "POST", ORDERS, cart_order("both"), Idempotency_Key="one")
    assert (again.status, again.body) == (201, placed.body)
    history = shop.ask(key, "GET", f"{ORDERS}/{placed.json['id']}/history").json["items"]
    assert {entry["actor"] for entry in history} == {"customer:both"}


def test_a_subject_of_an_issuer_with_signs_may_be_staff_but_no_customer(shop: Shop, issuer: Issuer) -> None:
    assert shop.ask(issuer.token(issuer.claims("idp|7", "staff")), "GET", ABSENT).status == 404
    assert shop.ask(issuer.token(issuer.claims("idp|7", "customer")), "GET", ABSENT).status == 401


def test_a_token_without_a_scope_of_ours_is_known_and_may_nothing(shop: Shop, issuer: Issuer) -> None:
    token = issuer.token(issuer.claims("ada", "openid profile"))
    for method, path in (("GET", ABSENT), ("GET", f"{ORDERS}/user/ada"), ("POST", ORDERS)):
        body = basket() if method == "POST" else None
        answer = shop.ask(token, method, path, body)
        assert (answer.status, answer.json["code"]) == (403, "missing-scope")


Forge = Callable[[Issuer, Issuer], str]


def _claims(**changes: Any) -> Forge:
    return lambda issuer, _: issuer.token(issuer.claims(**changes))


def _header(**changes: Any) -> Forge:
    return lambda issuer, _: issuer.token(**changes)


def _secret_of(issuer: Issuer) -> bytes:
    """The public key as a shared secret: what a verifier that trusts `alg` would use."""
    key = issuer.keys["rsa-1"][1]
    assert isinstance(key, RSAKey)
    return key.as_pem(private=False)


def _none(issuer: Issuer, _: Issuer, alg: Any = "none", signature: str = "") -> str:
    head = b64(json.dumps({"alg": alg, "typ": "JWT", "kid": "rsa-1"}).encode())
    return f"{head}.{b64(json.dumps(issuer.claims(scope='staff')).encode())}.{signature}"


def _with_own_key(issuer: Issuer, thief: Issuer) -> str:
    key = thief.keys["rsa-1"][1]
    return _signed_with(key, issuer, jwk=key.as_dict(private=False))


def _signed_with(key: Any, issuer: Issuer, kid: Any = "rsa-1", alg: str = "RS256", **header: Any) -> str:
    """Staff's claims, signed with any key."""
    header |= {"alg": alg} | ({} if kid is None else {"kid": kid})
    return signed(header, issuer.claims(scope="staff"), key)


def _signed_by_secret(issuer: Issuer, alg: str, kid: str, secret: bytes) -> str:
    head = b64(json.dumps({"alg": alg, "kid": kid}).encode())
    told = f"{head}.{b64(json.dumps(issuer.claims(scope='staff')).encode())}"
    return f"{told}.{b64(hmac.digest(secret, told.encode(), alg.replace('HS', 'sha')))}"


def _twice(issuer: Issuer, where: str) -> str:
    alg, key = issuer.keys["rsa-1"]
    header, claims = '{"alg":"RS256","kid":"rsa-1"}', json.dumps(issuer.claims())
    if where == "header":
        header = '{"alg":"none","alg":"RS256","kid":"rsa-1"}'
    else:
        claims = claims[:-1] + ',"sub":"eve"}'
    return by_hand(b64(header.encode()), claims.encode(), alg, key)


def _bent(issuer: Issuer, part: int) -> str:
    parts = issuer.token().split(".")
    middle = len(parts[part]) // 2
    other = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    return ".".join(parts)


FORGED: dict[str, dict[str, Forge]] = {
    "not a signed token": {
        "none": _none,
        "none, in other letters": lambda i, t: _none(i, t, "nOnE"),
        "RS256 without a signature": lambda i, t: _none(i, t, "RS256"),
        "two parts": lambda i, _: i.token().rpartition(".")[0],
        "four parts": lambda i, _: i.token() + ".AA",
        "five parts": lambda i, _: i.token() + ".AA.AA",
        "padding": lambda i, _: i.token() + "==",
        "huge header": lambda i, _: i.token(filler="x" * 4000),
        "nothing but dots": lambda i, _: "..",
        "not a token": lambda i, _: "token",
    },
    "credentials too long": {"huge": lambda i, _: i.token(i.claims(filler="x" * 9000))},
    "algorithm not allowed": {
        "none, with a signature": lambda i, t: _none(i, t, "none", "AAAA"),
        "HS256 with the public key as secret": lambda i, _: _signed_by_secret(i, "HS256", "rsa-1", _secret_of(i)),
        "HS512 with the public key as secret": lambda i, _: _signed_by_secret(i, "HS512", "rsa-1", _secret_of(i)),
        "HS256 with a secret that the set publishes": lambda i, _: _signed_by_secret(i, "HS256", "secret", b"s" * 32),
        "an algorithm that is not pinned": lambda i, _: _signed_with(i.keys["rsa-1"][1], i, alg="RS512"),
        "PS256 by the same key": lambda i, _: _signed_with(i.keys["rsa-1"][1], i, alg="PS256"),
        "an algorithm of another type": lambda i, _: _none(i, i, ["RS256"], "AAAA"),
    },
    "no key of the issuer has signed it": {
        "a key for encryption": lambda i, _: _signed_with(i.keys["rsa-1"][1], i, "for-encryption"),
        "a key of another kind": lambda i, _: _signed_with(i.keys["rsa-1"][1], i, "ec-1"),
        "another's key of the same name": lambda i, t: _signed_with(t.keys["rsa-1"][1], i),
        "another's curve": lambda i, _: _signed_with(ECKey.generate_key("P-256"), i, "ec-1", "ES256"),
        "no key id, another's key": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, None),
        "an unknown key id": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, "x"),
        "a path as key id": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, "../../../../dev/null"),
        "SQL as key id": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, "x' union select 'AA'--"),
        "a URL as key id": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, t.url),
        "embedded jwk": _with_own_key,
        "jku": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, jku=t.url),
        "x5u": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, x5u=t.url),
        "bent claims": lambda i, _: _bent(i, 1),
        "a bent signature": lambda i, _: _bent(i, 2),
    },
    "the key id is none": {
        "a key id of another type": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, ["rsa-1"]),
        "an endless key id": lambda i, t: _signed_with(t.keys["rsa-1"][1], i, "x" * 300),
    },
    "expired_token": {"expired": _claims(exp=-60)},
    "invalid_claim": {
        "not yet valid": _claims(nbf=120),
        "issued in the future": _claims(iat=120),
        "another audience": _claims(aud="another"),
        "other audiences": _claims(aud=["another", "third"]),
        "an audience that begins alike": _claims(aud=f"{AUDIENCE}-admin"),
        "another issuer": _claims(iss="http://127.0.0.1:1"),
        "an issuer that begins alike": lambda i, _: i.token(i.claims(iss=f"{i.name}/")),
        "a list of issuers": lambda i, _: i.token(i.claims(iss=[i.name])),
        "an empty subject": _claims(sub=""),
        "a subject of another type": _claims(sub=7),
        "exp as text": _claims(exp="9999999999"),
        "exp as truth": _claims(exp=True),
        "exp without end": lambda i, _: i.token(
            json.dumps(i.claims()).replace('"exp": ', '"exp": 1e999, "e": ').encode()
        ),
    },
    "missing_claim": {f"no {name}": _claims(**{name: None}) for name in ("iss", "aud", "sub", "exp")},
    "one of scope and scopes is needed": {"no scope": _claims(scope=None), "both": _claims(scopes=["staff"])},
    "the scope cannot be read": {
        "a scope of another type": _claims(scope={"staff": True}),
        "scopes that are no words": _claims(scope=["staff", 7]),
    },
    "the subject cannot be a user": {"a subject that no user can be": _claims(sub="a b")},
    "another type of token": {"wrong typ": _header(typ="logout+jwt"), "typ of another type": _header(typ=["JWT"])},
    "extensions are not understood": {
        "crit": _header(crit=["exp"]),
        "crit that is understood elsewhere": _header(crit=["b64"], b64=True),
    },
    "cannot be read": {
        "a header twice": lambda i, _: _twice(i, "header"),
        "a claim twice": lambda i, _: _twice(i, "claims"),
        "claims that are a list": lambda i, _: i.token(b'["sub"]'),
        "claims that are no JSON": lambda i, _: i.token(b"sub=ada"),
        "a bent header": lambda i, _: _bent(i, 0),
    },
}
"""Why a token is not believed, as the log says it, and those that must not be believed for just that reason."""


@pytest.mark.parametrize(("reason", "attack"), [(reason, attack) for reason in FORGED for attack in FORGED[reason]])
def test_no_forged_token_is_believed(shop: Shop, issuer: Issuer, thief: Issuer, reason: str, attack: str) -> None:
    before, correlation_id = thief.hits, uuid.uuid4().hex
    answer = shop.ask(FORGED[reason][attack](issuer, thief), "GET", ABSENT, X_Correlation_Id=correlation_id)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert thief.hits == before
    assert _reason(shop, correlation_id).startswith(reason)


def _reason(shop: Shop, correlation_id: str) -> str:
    """Why a request's credentials were not believed: the log says it a moment later, the answer does not."""

    def told() -> list[str]:
        lines = (shop.folder / "service.log").read_text().splitlines()
        return [line for line in lines if correlation_id in line and '"not_believed"' in line]

    [line] = shop.until(told)
    return str(json.loads(line)["reason"])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Token {token}",
        "{token}",
        "Bearer {token} {token}",
        "Bearer {token}, Bearer {token}",
        "Bearer\t{token}",
    ],
)
def test_the_header_is_one_bearer_token(shop: Shop, issuer: Issuer, header: str) -> None:
    answer = shop.call("GET", ABSENT, Authorization=header.format(token=issuer.token()))
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")


def test_a_token_in_the_address_or_in_two_headers_is_none(shop: Shop, issuer: Issuer) -> None:
    assert shop.call("GET", f"{ABSENT}?access_token={issuer.token()}").status == 401
    assert "eyJ" not in (shop.folder / "service.log").read_text()
