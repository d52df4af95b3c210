"""The command line: ``order-service COMMAND``. Each command imports what it needs when it runs, so help is instant."""

from __future__ import annotations

from typing import Annotated

import typer

from order_service import keys
from order_service.bench.command import app as bench
from order_service.terminal import Json, fail, settings
from order_service.torture.command import app as torture
from order_service.verify.command import verify

app = typer.Typer(
    help="Order management and checkout: PostgreSQL as the truth, Kafka for events, every partner call in writing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(keys.app, name="keys")
app.command()(verify)
app.add_typer(bench, name="bench")
app.add_typer(torture, name="torture")
ONLY = ("api", "worker", "relay")


def main() -> None:
    """Run the command line; exit code 0 only on success, one plain sentence on stderr otherwise."""
    app()


@app.command()
def serve(
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run this part only (api, worker, relay); may be repeated.")
    ] = None,
) -> None:
    """Run the service: API, worker and relay in one process, until SIGTERM."""
    from order_service.config import BadSettings
    from order_service.store.schema import SchemaMismatch
    from order_service.wiring import CannotStart, run_service

    parts = tuple(only or ONLY)
    unknown = [part for part in parts if part not in ONLY]
    if unknown:
        fail(f"--only {unknown[0]} is not a part; the parts are {', '.join(ONLY)}.")
    try:
        run_service(settings(), parts)
    except (BadSettings, CannotStart, SchemaMismatch) as error:
        fail(error)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run from many processes at once."""
    import asyncio

    from order_service.store.migrate import migrate as migrate_schema
    from order_service.store.schema import SchemaMismatch

    chosen = settings()
    if chosen.database_url is None:
        fail("ORDER_SERVICE_DATABASE_URL is not set.")
    try:
        asyncio.run(migrate_schema(chosen.database_url))
    except (OSError, SchemaMismatch) as error:
        fail(error)
    print("The schema is up to date.")


@app.command()
def dev() -> None:
    """Run the whole system in the foreground: PostgreSQL, Kafka, sandbox partners and the service."""
    import os

    os.environ.setdefault("ORDER_SERVICE_AUTH", "off")
    from order_service.config import BadSettings
    from order_service.embedded import LauncherError
    from order_service.embedded.dev import Dev

    try:
        Dev(settings(), say=lambda line: print(line, flush=True)).run()
    except (BadSettings, LauncherError) as error:
        fail(error)


@app.command()
def demo(as_json: Json = False) -> None:
    """Place, pay, ship and deliver one order; place, pay, cancel and refund another; print both timelines."""
    from order_service.demo import DemoFailed, run_demo

    try:
        run_demo(settings(), as_json=as_json)
    except DemoFailed as error:
        fail(error)


@app.command()
def show(order_id: Annotated[str, typer.Argument(help="Id or number of the order.")], as_json: Json = False) -> None:
    """Show one order and its timeline, with every event it has sent."""
    from order_service.timeline import NotThere, show_order

    try:
        show_order(settings(), order_id, as_json=as_json)
    except NotThere as error:
        fail(error)


OrderId = Annotated[str, typer.Argument(help="Id of the order.")]
CallId = Annotated[str, typer.Argument(help="Id of the call, as `order-service attention` lists it.")]


@app.command()
def attention(as_json: Json = False) -> None:
    """List the orders that wait for a person, the longest waiting first."""
    from order_service.attention import NotDone, list_attention

    try:
        list_attention(settings(), as_json=as_json)
    except NotDone as error:
        fail(error)


@app.command()
def retry(order_id: OrderId, call_id: CallId, as_json: Json = False) -> None:
    """Send a call again that waits for a person; a failed refund is followed by a new one."""
    from order_service.attention import NotDone, retry_call

    try:
        retry_call(settings(), order_id, call_id, as_json=as_json)
    except NotDone as error:
        fail(error)


@app.command("give-up")
def give_up(
    order_id: OrderId,
    call_id: CallId,
    note: Annotated[
        str | None, typer.Option("--note", help="What people did instead; a refund cannot be given up without it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """End a call by hand that waits for a person."""
    from order_service.attention import NotDone, give_up_call

    try:
        give_up_call(settings(), order_id, call_id, note, as_json=as_json)
    except NotDone as error:
        fail(error)
