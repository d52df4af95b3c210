"""A customer orders what its cart holds, at the cart's prices: anything else is refused, and leaves nothing behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.auth.issuer import Issuer
from tests.auth.shop import ORDERS, Shop, cart_order
from tests.system.harness import Answer, basket

USER = "cara.cart"
SHIRTS = {"productId": "shirt", "name": "Shirt", "quantity": 2, "unitPrice": 1999}
SHIRT = SHIRTS | {"quantity": 1}
SHOES = {"productId": "shoes", "name": "Shoes", "quantity": 1, "unitPrice": 8950}


@pytest.fixture(scope="module")
def key(shop: Shop) -> str:
    return str(shop.key("customer", USER)["key"])


@pytest.fixture(scope="module")
def service(shop: Shop) -> str:
    return str(shop.key("service")["key"])


def traces(shop: Shop) -> tuple[Any, ...]:
    """Everything that an order leaves: rows, calls, log rows with their events, keys, effects at the partners."""
    shop.await_no_open_calls()
    tables = ("orders", "order_log", "partner_calls", "idempotency_keys", "order_contacts")
    counted = ", ".join(f"(select count(*) from {table}) as {table}" for table in tables)
    events = "(select coalesce(sum(cardinality(events)), 0)::int from order_log) as events"
    return shop.rows(f"select {counted}, {events}"), shop.ledger()


def place(shop: Shop, key: str, body: dict[str, Any], **headers: str) -> Answer:
    return shop.ask(key, "POST", ORDERS, body, **headers)


def with_items(*items: dict[str, Any]) -> dict[str, Any]:
    return cart_order(USER, items=list(items))


OTHERWISE: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a lower price": (with_items(SHIRTS, SHOES | {"unitPrice": 1}), ["items"]),
    "a price of nothing": (with_items(SHIRTS, SHOES | {"unitPrice": 0}), ["items"]),
    "a higher price": (with_items(SHIRTS, SHOES | {"unitPrice": 8951}), ["items"]),
    "fewer pieces": (with_items(SHIRT, SHOES), ["items"]),
    "more pieces": (with_items(SHIRTS | {"quantity": 3}, SHOES), ["items"]),
    "another product": (with_items(SHIRTS, SHOES | {"productId": "boots"}), ["items"]),
    "a product less": (with_items(SHIRTS), ["items"]),
    "a product more": (with_items(SHIRTS, SHOES, SHOES | {"productId": "boots"}), ["items"]),
    "one of two pieces cheaper": (with_items(SHIRT, SHIRT | {"unitPrice": 1}, SHOES), ["items"]),
    "prices changed over": (with_items(SHIRTS | {"unitPrice": 8950}, SHOES | {"unitPrice": 1999}), ["items"]),
    "less tax": (cart_order(USER, tax=0), ["tax"]),
    "a discount": (cart_order(USER, discount=100), ["discount"]),
    "a discount that pays the tax": (cart_order(USER, tax=0, discount=300), ["tax", "discount"]),
    "another currency": (cart_order(USER, currency="JPY"), ["currency"]),
    "a cost of shipping": (cart_order(USER, shippingCost=500), ["shippingCost"]),
}


@pytest.mark.parametrize("how", OTHERWISE)
def test_what_the_cart_does_not_say_is_refused_and_leaves_nothing(shop: Shop, key: str, how: str) -> None:
    body, changed = OTHERWISE[how]
    shop.fill_cart(USER)
    before = traces(shop)
    refused = place(shop, key, body, Idempotency_Key="refused")
    assert (refused.status, refused.json["code"], refused.json["changed"]) == (409, "cart-changed", changed)
    assert traces(shop) == before


def test_an_empty_cart_orders_nothing(shop: Shop, key: str) -> None:
    shop.fill_cart(USER, items=[], tax=0)
    before = traces(shop)
    refused = place(shop, key, cart_order(USER, tax=0))
    assert (refused.status, refused.json["changed"]) == (409, ["items"])
    assert traces(shop) == before


def test_an_order_for_another_user_is_refused_whether_there_is_one_or_not(shop: Shop, key: str) -> None:
    shop.fill_cart("victim.cart")
    before = traces(shop)
    answers = [place(shop, key, cart_order(user), X_Correlation_Id="x") for user in ("victim.cart", "nobody.cart")]
    assert {(answer.status, answer.json["code"]) for answer in answers} == {(403, "missing-scope")}
    assert answers[0].body == answers[1].body
    assert traces(shop) == before


def test_a_refused_key_may_be_used_again_and_how_pieces_are_split_into_lines_is_free(shop: Shop, key: str) -> None:
    shop.fill_cart(USER)
    assert place(shop, key, cart_order(USER, tax=0), Idempotency_Key="again").status == 409
    placed = place(shop, key, with_items(SHIRT, SHOES, SHIRT), Idempotency_Key="again")
    assert placed.status == 201, placed.body
    shop.await_no_open_calls()
    replayed = place(shop, key, with_items(SHIRT, SHOES, SHIRT), Idempotency_Key="again")
    assert (replayed.status, replayed.body) == (201, placed.body), "although the cart is empty by now"
    assert place(shop, key, with_items(SHIRT, SHOES, SHIRT)).json["code"] == "cart-changed"


def test_twins_with_one_key_never_hear_that_the_cart_has_changed(shop: Shop, key: str) -> None:
    for number in range(5):
        shop.fill_cart(USER)
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"twins-{number}"}
        answers = shop.parallel([("POST", ORDERS, cart_order(USER), headers)] * 8)
        assert {answer.status for answer in answers} <= {201, 409}
        assert {answer.json["code"] for answer in answers if answer.status == 409} <= {"request-in-flight"}
        assert len({answer.json["id"] for answer in answers if answer.status == 201}) == 1
        shop.await_no_open_calls()


def test_a_shops_backend_sets_its_own_prices(shop: Shop, service: str) -> None:
    shop.fill_cart(USER, items=[], tax=0)
    assert place(shop, service, basket(userId=USER, shippingCost=500)).status == 201


@pytest.fixture(scope="module")
def cart() -> Iterator[Issuer]:
    """A Cart that answers what it is told to: any server that can be told will do."""
    with Issuer() as server:
        yield server


@pytest.fixture(scope="module")
def second(shop: Shop, cart: Issuer) -> Iterator[Shop]:
    """A second process of the same shop, whose Cart is that one."""
    other = Shop(shop.database, shop.bootstrap, shop.folder)
    other.partners = shop.partners
    env = shop.service_env(PORT=str(other.port), CART_URL=cart.name, REQUEST_DEADLINE="1.5")
    process: subprocess.Popen[bytes] = other.spawn("-m", "order_service", "serve", "--only", "api", name="b", env=env)
    other.await_url(f"{other.api}/readyz", process)
    yield other
    process.terminate()
    process.wait()


GOOD = b'{"userId":"cara.cart","currency":"USD","items":[],"tax":0,"discount":0}'
SILENT: dict[str, tuple[int, dict[str, str], bytes] | None] = {
    "away": (503, {}, b"{}"),
    "broken": (500, {}, b"oops"),
    "garbage": (200, {}, b"<html>"),
    "another's cart": (200, {}, GOOD.replace(b"cara", b"eve")),
    "a cart without prices": (200, {}, b'{"userId":"cara.cart","items":[]}'),
    "a negative price": (200, {}, GOOD.replace(b'"tax":0', b'"tax":-1')),
    "elsewhere": (302, {"Location": "/other"}, b""),
    "forbidden": (403, {}, b"{}"),
}


@pytest.mark.parametrize("how", SILENT)
def test_a_cart_that_gives_no_answer_to_believe_is_a_503_that_leaves_nothing(
    shop: Shop, second: Shop, cart: Issuer, key: str, how: str
) -> None:
    cart.answer = SILENT[how]
    before = traces(shop)
    refused = place(second, key, cart_order(USER), Idempotency_Key="unanswered")
    assert (refused.status, refused.json["code"]) == (503, "cart-unavailable")
    assert refused.headers["Retry-After"] == "2"
    assert traces(shop) == before


def test_a_cart_that_is_too_slow_is_a_503_too_and_one_that_is_not_there_is_empty(
    shop: Shop, second: Shop, cart: Issuer, key: str
) -> None:
    before = traces(shop)
    cart.answer, cart.delay_s = (200, {}, GOOD), 2.0
    assert place(second, key, cart_order(USER)).json["code"] == "cart-unavailable"
    cart.answer, cart.delay_s = (404, {}, b"{}"), 0.0
    assert place(second, key, cart_order(USER)).json["code"] == "cart-changed"
    assert traces(shop) == before


def test_a_twin_that_sees_the_cart_emptied_gets_the_answer_of_the_first(
    shop: Shop, second: Shop, cart: Issuer, key: str
) -> None:
    shop.fill_cart(USER)
    cart.answer, cart.delay_s = (200, {}, GOOD), 0.8
    hits = cart.hits
    with ThreadPoolExecutor() as pool:
        twin = pool.submit(place, second, key, cart_order(USER), Idempotency_Key="emptied")
        shop.until(lambda: cart.hits > hits)
        first = place(shop, key, cart_order(USER), Idempotency_Key="emptied")
        assert first.status == 201, first.body
        answer = twin.result()
    cart.delay_s = 0.0
    assert (answer.status, answer.body) == (201, first.body)
    assert answer.headers["Idempotent-Replayed"] == "true"


def test_a_second_process_knows_the_keys_too(second: Shop, key: str) -> None:
    assert second.ask(key, "GET", f"{ORDERS}/user/{USER}").status == 200
    assert second.ask(key, "GET", f"{ORDERS}/user/eve").status == 404
