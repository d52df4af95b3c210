"""``order-service torture``: what the service goes through, on the user's own machine."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from order_service.terminal import Json, fail

if TYPE_CHECKING:
    from order_service.torture.report import Report

app = typer.Typer(help="Put the service through what breaks others, on this machine.", invoke_without_command=True)

Seed = Annotated[int | None, typer.Option("--seed", help="Brings a run back; drawn and told if left out.")]
Clients = Annotated[int, typer.Option("--clients", help="Clients at once.", min=24, max=512)]
Keep = Annotated[Path | None, typer.Option("--keep", help="Where everything is kept; a folder of its own if left out.")]
File = Annotated[Path | None, typer.Option("--report", help="A file for the report as JSON, written as it goes on.")]


@app.callback()
def short(
    context: typer.Context,
    seed: Seed = None,
    clients: Clients = 48,
    keep: Keep = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Kill, freeze, cut and lie, one of everything in about three minutes; exit code 0 only if all was survived."""
    if context.invoked_subcommand is not None:
        return
    from order_service.torture.forms import run_short

    _tell(lambda: run_short(_drawn(seed), clients=clients, folder=keep, file=file), as_json, file)


@app.command("long")
def long_form(
    kills: Annotated[int, typer.Option("--kills", help="Kills with at least 20 orders in flight.", min=1)] = 5000,
    orders: Annotated[int, typer.Option("--orders", help="Orders through the whole system.", min=1)] = 100_000,
    minutes: Annotated[float, typer.Option("--minutes", help="Give up after this.", min=1)] = 60,
    seed: Seed = None,
    clients: Clients = 48,
    keep: Keep = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Kill at places drawn by a seed, all else in turns, verified every few minutes, until it is enough of both."""
    from order_service.torture.forms import run_long

    def run() -> Report:
        return run_long(
            _drawn(seed), clients=clients, kills=kills, orders=orders, minutes=minutes, folder=keep, file=file
        )

    _tell(run, as_json, file)


@app.command()
def rescue(
    kills: Annotated[int, typer.Option("--kills", help="Replicas to kill.", min=1)] = 32,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Kill replicas that owe something, with default settings, and time how soon another one has done it."""
    from order_service.embedded import LauncherError
    from order_service.torture.rescue import as_json as rendered
    from order_service.torture.rescue import run_rescue, told

    try:
        measured = run_rescue(_drawn(seed), kills, lambda line: typer.echo(line, err=True))
    except LauncherError as error:
        fail(error)
    print(rendered(measured) if as_json else told(measured))
    if not measured.survived:
        raise typer.Exit(1)


@app.command()
def rolling(
    restarts: Annotated[int, typer.Option("--restarts", help="How often both replicas are replaced.", min=1)] = 20,
    rate: Annotated[float, typer.Option("--rate", help="Requests a second.", min=1)] = 100.0,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Replace two replicas behind one port again and again, under load; exit code 0 only if no request failed."""
    from order_service.embedded import LauncherError
    from order_service.torture.rolling import as_json as rendered
    from order_service.torture.rolling import run_rolling, told

    try:
        rolled = run_rolling(_drawn(seed), restarts, rate, lambda line: typer.echo(line, err=True))
    except LauncherError as error:
        fail(error)
    print(rendered(rolled) if as_json else told(rolled))
    if not rolled.survived:
        raise typer.Exit(1)


@app.command()
def overload(
    seconds: Annotated[
        float, typer.Option("--seconds", help="How long each of the two overloads lasts.", min=2)
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Find the peak, then send twice as much, then five times the clients; exit code 0 only if it held."""
    from order_service.embedded import LauncherError
    from order_service.torture.overload import as_json as rendered
    from order_service.torture.overload import run_overload, table

    def say(line: str) -> None:
        typer.echo(line, err=True)

    try:
        report = run_overload(seconds, say=say)
    except LauncherError as error:
        fail(error)
    print(rendered(report) if as_json else table(report))
    if not report.held:
        raise typer.Exit(1)


@app.command()
def outage(
    seconds: Annotated[float, typer.Option("--seconds", help="How long each part is away.", min=1)] = 60.0,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A part (database, broker, payment ...) or one scenario's name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take the database, the broker and each partner away, under load; exit code 0 only if all was as promised."""
    from order_service.embedded import LauncherError
    from order_service.torture.outage import as_json as rendered
    from order_service.torture.outage import chosen, run_outages, told_line

    scenarios = chosen(only or [])
    if not scenarios:
        fail(f"There is no part and no scenario named {', '.join(only or [])}.")
    try:
        lines = run_outages(
            seconds,
            scenarios=scenarios,
            say=lambda line: typer.echo(line, err=True),
            told=lambda line: None if as_json else print(told_line(line), flush=True),
        )
    except LauncherError as error:
        fail(error)
    if as_json:
        print(rendered(lines))
    if not all(line.held for line in lines):
        raise typer.Exit(1)


def _drawn(seed: int | None) -> int:
    return secrets.randbelow(1_000_000) if seed is None else seed


def _tell(run: Callable[[], Report], as_json: bool, file: Path | None) -> None:
    from order_service.embedded import LauncherError
    from order_service.torture import report

    try:
        came = run()
    except LauncherError as error:
        fail(error)
    if file is not None:
        file.write_text(report.as_json(came) + "\n")
    if as_json:
        print(report.as_json(came))
    else:
        report.show(came)
    if not came.survived:
        raise typer.Exit(1)
