"""What a lookup of a key costs, at most: floods of unknown keys and key ids, and sources that misbehave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from order_service.auth import api_keys
from order_service.auth.api_keys import ApiKeys, digest_of, new_key
from order_service.auth.key_set import (
    BETWEEN_READS_S,
    FRESH_S,
    STALE_S,
    UNKNOWN_S,
    KeySet,
    KeysUnavailable,
    parse_key_set,
)
from order_service.auth.sources import FileSource, UrlSource
from order_service.problems import ServiceUnavailable
from order_service.store.api_keys import create_api_key, revoke_api_key
from order_service.store.pool import connect
from tests.auth.issuer import Issuer


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def make(pool: Any, **more: Any) -> tuple[str, str]:
    """A key and its id."""
    key = new_key()
    row: dict[str, Any] = {"scope": "staff", "user": None, "name": "", "expires_in_s": None}
    return key, await create_api_key(pool, digest=digest_of(key), **(row | more))


# --- API keys ---


async def test_a_flood_of_unknown_keys_takes_few_statements_and_pushes_no_good_key_out(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MAX_UNKNOWN", 100)
    pool = await connect(database)
    keys = ApiKeys(pool)
    good, key_id = await make(pool)
    assert (await keys.find(good)) is not None
    lookups = keys.lookups
    found = await asyncio.gather(*(keys.find(new_key()) for _ in range(2_000)))
    assert set(found) == {None}
    assert keys.lookups - lookups <= 2_000 / api_keys.BATCH + 2
    assert len(keys._unknown) == 100
    at = keys.lookups
    principal = await keys.find(good)
    assert principal is not None
    assert (principal.name, principal.scope) == (f"key:{key_id}", "staff")
    assert keys.lookups == at
    await pool.close()


async def test_callers_with_one_key_share_one_lookup(database: str) -> None:
    pool = await connect(database)
    keys = ApiKeys(pool)
    good, _ = await make(pool, scope="customer", user="ada")
    found = await asyncio.gather(*(keys.find(good) for _ in range(500)))
    assert {(principal.name, principal.user) for principal in found if principal} == {("customer:ada", "ada")}
    assert keys.lookups == 1
    await pool.close()


async def test_more_waiting_than_can_be_served_soon_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_WAITING", 10)
    pool = await connect(database)
    keys = ApiKeys(pool)
    found = await asyncio.gather(*(keys.find(new_key()) for _ in range(50)), return_exceptions=True)
    assert [type(one) for one in found].count(ServiceUnavailable) == 40
    assert found.count(None) == 10
    await pool.close()


async def test_a_revoked_and_an_expired_key_are_believed_for_no_longer_than_said(database: str) -> None:
    pool = await connect(database)
    keys = ApiKeys(pool)
    revoked, key_id = await make(pool)
    expiring, _ = await make(pool, expires_in_s=0.5)
    assert await keys.find(revoked)
    assert await keys.find(expiring)
    assert await revoke_api_key(pool, key_id)
    await asyncio.sleep(0.6)
    assert await keys.find(expiring) is None
    await asyncio.sleep(api_keys.BELIEVED_S - 0.5)
    assert await keys.find(revoked) is None
    await pool.close()


async def test_a_lookup_that_fails_is_told_to_all_who_waited_and_the_next_one_is_new(database: str) -> None:
    pool = await connect(database)
    good, _ = await make(pool)
    await pool.close()
    keys = ApiKeys(pool)
    found = await asyncio.gather(*(keys.find(good) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, Exception) for one in found)
    keys._pool = pool = await connect(database)
    assert await keys.find(good)
    await pool.close()


# --- the issuer's keys ---


async def test_a_flood_of_unknown_key_ids_makes_no_more_reads_than_one_in_ten_seconds() -> None:
    with Issuer() as issuer:
        clock = Clock()
        keys = KeySet(UrlSource(issuer.url), clock)
        assert len(await keys.find("rsa-1", "RS256")) == 1
        for _ in range(5):
            found = await asyncio.gather(*(keys.find(new_key(), "RS256") for _ in range(200)))
            assert not any(found)
            assert len(await keys.find("rsa-1", "RS256")) == 1
            clock.now += BETWEEN_READS_S / 5
        assert issuer.hits == 1
        clock.now += BETWEEN_READS_S
        await asyncio.gather(*(keys.find(new_key(), "RS256") for _ in range(200)))
        assert issuer.hits == 2
        await keys.close()


async def test_a_key_id_that_was_not_there_is_not_looked_for_again_for_a_while() -> None:
    with Issuer() as issuer:
        clock = Clock()
        keys = KeySet(UrlSource(issuer.url), clock)
        await keys.find("rsa-1", "RS256")
        for _ in range(2):
            clock.now += BETWEEN_READS_S + 0.1
            assert not await keys.find("misspelt", "RS256")
        assert issuer.hits == 2
        clock.now += UNKNOWN_S
        assert not await keys.find("misspelt", "RS256")
        assert issuer.hits == 3
        await keys.close()


async def test_a_new_key_of_the_issuer_is_found_when_the_first_token_names_it() -> None:
    with Issuer() as issuer:
        clock = Clock()
        keys = KeySet(UrlSource(issuer.url), clock)
        keys.start()
        assert await keys.find("ec-1", "ES256")
        issuer.keys["ec-2"] = ("ES256", ECKey.generate_key("P-256"))
        del issuer.keys["ec-1"]
        assert not await keys.find("ec-2", "ES256")
        clock.now += BETWEEN_READS_S
        assert len(await keys.find("ec-2", "ES256")) == 1
        assert not await keys.find("ec-1", "ES256")
        assert issuer.hits == 2
        await keys.close()


async def test_an_old_set_serves_while_it_is_read_again_and_while_the_issuer_is_away() -> None:
    with Issuer() as issuer:
        clock = Clock()
        keys = KeySet(UrlSource(issuer.url), clock)
        await keys.find("ed-1", "EdDSA")
        issuer.delay_s, issuer.answer = 0.3, (503, {}, b"")
        clock.now += FRESH_S + 1
        began = asyncio.get_running_loop().time()
        assert await keys.find("ed-1", "EdDSA")
        assert asyncio.get_running_loop().time() - began < 0.2, "the request did not wait"
        assert keys._reading is not None
        await keys._reading
        clock.now += STALE_S - FRESH_S - 2
        assert await keys.find("ed-1", "EdDSA")
        assert keys._reading is not None
        await keys._reading
        clock.now += BETWEEN_READS_S + 2
        with pytest.raises(KeysUnavailable):
            await keys.find("ed-1", "EdDSA")
        issuer.answer = None
        with pytest.raises(KeysUnavailable):
            await keys.find("ed-1", "EdDSA")
        clock.now += BETWEEN_READS_S
        assert await keys.find("ed-1", "EdDSA")
        await keys.close()


BAD_ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "redirect": (302, {"Location": "/keys.json"}, b""),
    "not found": (404, {}, b"{}"),
    "endless": (200, {}, b" " * 300_000),
    "no JSON": (200, {}, b"<html>"),
    "no set": (200, {}, b"[]"),
    "no keys": (200, {}, b'{"keys": []}'),
    "keys of another type": (200, {}, b'{"keys": {"kid": "rsa-1"}}'),
    "encoded": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08\x00"),
    "cut off": (200, {"Content-Length": "5000"}, b'{"keys": ['),
}


@pytest.mark.parametrize("how", BAD_ANSWERS)
async def test_an_answer_that_is_no_key_set_changes_nothing(how: str) -> None:
    with Issuer() as issuer:
        clock = Clock()
        keys = KeySet(UrlSource(issuer.url), clock)
        await keys.find("rsa-1", "RS256")
        issuer.answer = BAD_ANSWERS[how]
        clock.now += BETWEEN_READS_S
        assert not await keys.find("new", "RS256")
        assert issuer.hits == 2
        assert len(await keys.find("rsa-1", "RS256")) == 1
        await keys.close()


async def test_nobody_at_the_address_is_no_key_at_hand(tmp_path: Path) -> None:
    with Issuer() as issuer:
        url = issuer.url
    for source in (UrlSource(url), FileSource(tmp_path / "missing")):
        keys = KeySet(source)
        with pytest.raises(KeysUnavailable):
            await keys.find("rsa-1", "RS256")
        await keys.close()


async def test_a_file_is_read_again(tmp_path: Path) -> None:
    issuer, clock = Issuer(), Clock()
    file = tmp_path / "keys.json"
    file.write_bytes(issuer.key_set())
    keys = KeySet(FileSource(file), clock)
    assert await keys.find("rsa-1", "RS256")
    issuer.keys["ec-2"] = ("ES256", ECKey.generate_key("P-256"))
    file.write_bytes(issuer.key_set())
    clock.now += BETWEEN_READS_S
    assert await keys.find("ec-2", "ES256")
    await keys.close()


def test_of_a_set_only_public_keys_for_signatures_count() -> None:
    issuer = Issuer()
    good = json.loads(issuer.key_set())["keys"]
    rsa = next(key for key in good if key.get("kid") == "rsa-1")
    weak = {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": "w" * 171}
    odd = [
        *(7, None, [], {}, weak),
        rsa | {"kid": 7},
        rsa | {"alg": ["RS256"]},
        rsa | {"key_ops": "verify"},
        rsa | {"key_ops": ["sign"]},
        rsa | {"n": "AA", "kid": "short"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off-the-curve"},
    ]
    assert [key.kid for key in parse_key_set(json.dumps({"keys": [*odd, *good]}).encode())] == ["rsa-1", "ec-1", "ed-1"]
