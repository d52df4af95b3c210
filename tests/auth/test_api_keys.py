"""Keys from their making to their end, on the running service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.auth.shop import ORDERS, Shop, cart_order
from tests.system.harness import basket

ABSENT = f"{ORDERS}/{uuid.uuid4()}"


def test_a_key_is_shown_once_and_opens_what_its_scope_serves(shop: Shop) -> None:
    made = shop.key("service", "shop-1", "--name", "Backend of the shop")
    assert made.keys() == {"id", "key", "scope", "user"}
    assert re.fullmatch(r"osk_[A-Za-z0-9_-]{43}", made["key"])
    placed = shop.ask(made["key"], "POST", ORDERS, basket(userId="ada"))
    assert placed.status == 201, placed.body
    history = shop.ask(made["key"], "GET", f"{ORDERS}/{placed.json['id']}/history").json["items"]
    assert [entry["actor"] for entry in history] == ["service:shop-1"]
    listed = {key["id"]: key for key in json.loads(shop.cli("keys", "list", "--json"))}
    assert listed[made["id"]]["name"] == "Backend of the shop"
    assert listed[made["id"]]["state"] == "active"


def test_a_customer_walks_from_its_cart_to_a_cancelled_order(shop: Shop) -> None:
    key = shop.key("customer", "walker")["key"]
    shop.fill_cart("walker")
    placed = shop.ask(key, "POST", ORDERS, cart_order("walker"))
    assert placed.status == 201, placed.body
    order = f"{ORDERS}/{placed.json['id']}"
    assert shop.ask(key, "POST", f"{order}/payment", {"paymentMethod": {"token": "tok_visa"}}).status == 200
    assert shop.ask(key, "GET", f"{ORDERS}/user/walker").json["items"][0]["id"] == placed.json["id"]
    assert shop.ask(key, "POST", f"{order}/cancel", {"reason": "changed my mind"}).status == 200
    assert {entry["actor"] for entry in shop.ask(key, "GET", f"{order}/history").json["items"]} >= {"customer:walker"}


def test_no_credentials_no_answer_but_for_what_is_open(shop: Shop) -> None:
    for path in ("/health", "/livez", "/readyz", "/docs", "/openapi.json", "/docs/errors/unauthorized"):
        assert shop.ask(None, "GET", path).status == 200
    refused = shop.ask(None, "GET", ABSENT)
    assert (refused.status, refused.json["code"]) == (401, "unauthorized")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_stops_within_seconds_and_stays_listed(shop: Shop) -> None:
    made = shop.key("staff")
    assert shop.ask(made["key"], "GET", ABSENT).status == 404
    ended = json.loads(shop.cli("keys", "revoke", made["id"], "--json"))
    shop.until(lambda: shop.ask(made["key"], "GET", ABSENT).status == 401)
    assert json.loads(shop.cli("keys", "revoke", made["id"], "--json")) == ended
    listed = {key["id"]: key["state"] for key in json.loads(shop.cli("keys", "list", "--json"))}
    assert listed[made["id"]] == "revoked"


def test_only_hashes_are_stored_and_nothing_of_a_key_is_logged(shop: Shop) -> None:
    key = shop.key("staff")["key"]
    shop.ask(key, "GET", ABSENT)
    shop.ask(f"{key[:-1]}!", "GET", ABSENT)
    rows = shop.rows("select k::text as row from api_keys k")
    secret = key.removeprefix("osk_")
    assert not any(secret[:20] in row["row"] for row in rows)
    assert not any(secret[:20] in log.read_text() for log in shop.folder.glob("*.log"))


def test_a_users_new_key_has_the_old_ones_idempotency(shop: Shop) -> None:
    old, new, other = shop.key("service", "rotating"), shop.key("service", "rotating"), shop.key("service")
    body, twice = basket(userId="rotated"), {"Idempotency_Key": "order-1"}
    first = shop.ask(old["key"], "POST", ORDERS, body, **twice)
    second = shop.ask(new["key"], "POST", ORDERS, body, **twice)
    assert (second.status, second.body) == (201, first.body)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert shop.ask(other["key"], "POST", ORDERS, body, **twice).json["id"] != first.json["id"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["create", "--scope", "customer"], "needs --user"),
        (["create", "--scope", "staff", "--user", "a b"], "--user is"),
        (["create", "--scope", "staff", "--name", "a\nb"], "--name is"),
        (["create", "--scope", "staff", "--expires-in", "soon"], "--expires-in is"),
        (["create", "--scope", "staff", "--expires-in", "0"], "--expires-in is"),
        (["revoke", "nothing"], "there is no key nothing"),
        (["revoke", str(uuid.UUID(int=7))], "there is no key"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(shop: Shop, argv: list[str], told: str) -> None:
    sentence = shop.cli("keys", *argv, code=1)
    assert told in sentence
    assert sentence.count("\n") == 1


def test_the_demo_sends_a_key_and_says_so_where_it_has_none(shop: Shop) -> None:
    assert "ORDER_SERVICE_API_KEY" in shop.cli("demo", code=1)
    shop.env["API_KEY"] = shop.key("service")["key"]
    try:
        told = json.loads(shop.cli("demo", "--json"))
    finally:
        del shop.env["API_KEY"]
    assert [one["order"]["status"] for one in told] == ["delivered", "refunded"]


def test_the_log_says_at_the_start_that_callers_must_be_known(shop: Shop) -> None:
    lines = (shop.folder / "service.log").read_text().splitlines()
    started = [json.loads(line) for line in lines if '"started"' in line]
    assert [line["auth"] for line in started] == ["on"]


def test_the_database_of_a_system_that_runs_is_found_by_its_folder(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text(json.dumps({"database": shop.database}))
    known = {"ORDER_SERVICE_DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]}
    if "PYTHONPATH" in os.environ:
        known["PYTHONPATH"] = os.environ["PYTHONPATH"]
    argv = [sys.executable, "-m", "order_service", "keys", "create", "--scope", "staff", "--json"]
    done = subprocess.run(argv, env=known, capture_output=True, text=True, check=True)
    assert shop.ask(json.loads(done.stdout)["key"], "GET", ABSENT).status == 404


def test_people_read_text(shop: Shop) -> None:
    made = shop.cli("keys", "create", "--scope", "staff", "--user", "bob", "--expires-in", "90d")
    assert made.startswith("osk_")
    assert "not shown again" in made
    assert " staff " in shop.cli("keys", "list")
    assert "osk_" not in shop.cli("keys", "list")
