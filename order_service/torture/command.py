"""``order-service torture``: what the service goes through, on the user's own machine."""

from __future__ import annotations

from typing import Annotated

import typer

from order_service.terminal import Json, fail

app = typer.Typer(help="Put the service through what breaks others, on this machine.", no_args_is_help=True)


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
