"""`order-service keys`: make, list and revoke API keys, on the database itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from order_service.terminal import Json, fail, settings

if TYPE_CHECKING:
    import asyncpg

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, pretty_exceptions_enable=False)

T = TypeVar("T")
MAX_NAME = 200
_USER = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhd]?)")
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Scope(StrEnum):
    """What a key may do: a customer's own orders, all orders for a shop's backend, or what people decide."""

    CUSTOMER = "customer"
    SERVICE = "service"
    STAFF = "staff"


@app.command()
def create(
    scope: Annotated[Scope, typer.Option(help="What the key may do.")],
    user: Annotated[str | None, typer.Option(help="Whose key it is; a customer's key must say.")] = None,
    name: Annotated[str, typer.Option(help="What it is for, for people.")] = "",
    expires_in: Annotated[
        str | None, typer.Option(help="Seconds, or a number with m, h or d; for ever if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, once: only its hash is kept."""
    if scope is Scope.CUSTOMER and user is None:
        fail("a customer's key needs --user: its orders are those of that user.")
    if user is not None and not _USER.fullmatch(user):
        fail("--user is 1 to 128 characters of A-Z a-z 0-9 . _ : @ -.")
    if len(name) > MAX_NAME or not name.isprintable():
        fail(f"--name is at most {MAX_NAME} printable characters.")
    from order_service.auth.api_keys import digest_of, new_key
    from order_service.store.api_keys import create_api_key

    key = new_key()
    made = _on_database(
        lambda connection: create_api_key(
            connection,
            digest=digest_of(key),
            scope=scope,
            user=user,
            name=name,
            expires_in_s=None if expires_in is None else _seconds(expires_in),
        )
    )
    if as_json:
        print(json.dumps({"id": made, "key": key, "scope": scope, "user": user}))
    else:
        print(f"{key}\n\nKey {made}, scope {scope}{f', user {user}' if user else ''}. It is not shown again.")


@app.command(name="list")
def list_keys(as_json: Json = False) -> None:
    """List all keys, newest first; never the keys themselves."""
    from order_service.store.api_keys import list_api_keys

    found = _on_database(list_api_keys)
    if as_json:
        print(json.dumps(found, default=_time))
        return
    for key in found:
        ends = f"  until {_time(key['expiresAt'])}" if key["expiresAt"] else ""
        print(f"{key['id']}  {key['state']:8} {key['scope']:8} {key['user'] or '-'}  {key['name']}{ends}".rstrip())
    if not found:
        print("There are no keys.")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")], as_json: Json = False) -> None:
    """End a key for good; running services notice within two seconds."""
    from order_service.store.api_keys import revoke_api_key

    ended = _on_database(lambda connection: revoke_api_key(connection, key_id.strip().lower()))
    if ended is None:
        fail(f"there is no key {key_id}.")
    if as_json:
        print(json.dumps({"id": key_id.strip().lower(), "revokedAt": _time(ended)}))
    else:
        print(f"Revoked at {_time(ended)}.")


def _on_database(work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """Do this on the running system's database; one sentence where there is none."""
    import asyncpg

    from order_service.running import endpoints

    dsn = endpoints(settings()).get("database")
    if not dsn:
        fail("no database is known; set ORDER_SERVICE_DATABASE_URL or start the system with `make run`.")
    try:
        return asyncio.run(_connected(dsn, work))
    except asyncpg.UndefinedTableError:
        fail("the database has no table of keys yet: run `order-service migrate`.")
    except (OSError, ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        fail(f"the database does not answer: {error or type(error).__name__}.")


async def _connected(dsn: str, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    from order_service.store.statements import connect_one

    connection = await connect_one(dsn, timeout=5, command_timeout=10)
    try:
        return await work(connection)
    finally:
        await connection.close()


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        fail("--expires-in is a whole number of seconds, or one with m, h or d, such as 90d.")
    return float(int(found[1]) * _UNITS_S[found[2]])


def _time(value: Any) -> str:
    assert isinstance(value, datetime)
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
