"""``order-service bench``: what an order costs on the user's own machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from order_service.terminal import Json, fail

Measured = TypeVar("Measured")

if TYPE_CHECKING:
    from msgspec import Struct

    from order_service.bench.plan import Report

_RESULTS = Path("bench/results")
_HEAD = ("workload", "clients", "a second", "p50 ms", "p95", "p99", "service us", "PostgreSQL us", "broker us")


app = typer.Typer(help="Measure what orders and reads cost on this machine.", invoke_without_command=True)

Results = Annotated[Path, typer.Option("--results", help="The folder for the JSON file and the plots.")]
Seconds = Annotated[float, typer.Option("--seconds", help="How long each step lasts.", min=0.5)]


@app.callback()
def bench(
    context: typer.Context,
    quick: Annotated[bool, typer.Option("--quick", help="The most important figures, within a minute.")] = False,
    results: Results = _RESULTS,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only workloads whose name has this in it; may be repeated.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="How long each step lasts.", min=0.5)] = None,
    as_json: Json = False,
) -> None:
    """Measure orders and reads on servers of its own: rate, latency, CPU of each part, and PostgreSQL's own floor."""
    if context.invoked_subcommand is not None:
        return
    from order_service.bench.plan import run_bench, steps

    chosen = [step for step in steps(quick=quick) if not only or any(part in step.workload for part in only)]
    if not chosen:
        fail(f"no workload has {' or '.join(only or [])} in its name.")
    report = _done(lambda tell: run_bench(chosen, seconds or (1.5 if quick else 6.0), tell))
    _show(report, results, "quick" if quick else "full", as_json)


@app.command()
def growth(
    sizes: Annotated[
        str, typer.Option("--orders", help="Orders in the tables, step by step.")
    ] = "10000,100000,1000000",
    seconds: Seconds = 6.0,
    results: Results = _RESULTS,
    as_json: Json = False,
) -> None:
    """Measure the same workloads with more and more orders in the tables."""
    from order_service.bench.scale import run_growth

    try:
        numbers = [int(size) for size in sizes.split(",")]
    except ValueError:
        fail(f"--orders {sizes} is not a list of numbers, as in 10000,100000.")
    _show(_done(lambda tell: run_growth(numbers, seconds, tell)), results, "growth", as_json)


@app.command()
def replicas(seconds: Seconds = 6.0, results: Results = _RESULTS, as_json: Json = False) -> None:
    """Measure one replica, then two on the same database."""
    from order_service.bench.scale import run_replicas

    _show(_done(lambda tell: run_replicas(seconds, tell)), results, "replicas", as_json)


@app.command()
def backlog(
    events: Annotated[int, typer.Option("--events", help="Events that nobody has sent.", min=1000)] = 1_000_000,
    per_s: Annotated[float, typer.Option("--rate", help="Orders a second while delays are taken.", min=1)] = 1000.0,
    seconds: Annotated[float, typer.Option("--seconds", help="How long delays are taken.", min=1)] = 30.0,
    results: Results = _RESULTS,
    as_json: Json = False,
) -> None:
    """Measure how fast a backlog of events is sent, and how late an event is when there is none."""
    from order_service.bench.scale import run_backlog

    done = _done(lambda tell: run_backlog(events, per_s, seconds, tell))
    _keep(done, results, "backlog", as_json)
    if not as_json:
        print(
            f"{done.events:,} events: {done.per_s:,.0f} a second. CPU of each: {done.service_us:.0f} us in the "
            f"service, {done.postgres_us:.0f} in PostgreSQL, {done.broker_us:.0f} in the broker.\n"
            f"{done.out_of_order} came before their predecessor, {done.repeated} came again. "
            f"Memory of the service: {done.mb_at_begin:.0f} MB at the beginning, {done.mb_at_most:.0f} MB at most.\n"
            f"{done.created_per_s:,.0f} orders created a second: events arrive {done.delay_p50_ms:.0f} ms after their "
            f"time (p50), {done.delay_p99_ms:.0f} (p99), {done.delay_most_ms:.0f} (most)."
        )


@app.command()
def soak(
    minutes: Annotated[float, typer.Option("--minutes", help="How long.", min=0.1)] = 30,
    per_s: Annotated[float, typer.Option("--rate", help="Orders and reads a second.", min=1)] = 500.0,
    every_s: Annotated[float, typer.Option("--every", help="Seconds between two looks.", min=1)] = 60,
    results: Results = _RESULTS,
    as_json: Json = False,
) -> None:
    """Keep a steady load for long, and look at the memory of every part."""
    from order_service.bench.scale import run_soak

    done = _done(lambda tell: run_soak(minutes, per_s, every_s, tell))
    _keep(done, results, "soak", as_json)
    if not as_json:
        parts = list(done.spans[0].megabytes)
        rows = [("minute", "a second", *(f"{part} MB" for part in parts))]
        for span in done.spans:
            rows.append((f"{span.minute:.1f}", f"{span.per_s:,.0f}", *(f"{mb:,.0f}" for mb in span.megabytes.values())))
        print(_columns(rows))


def _done(run: Callable[[Callable[[str, int, int], None]], Measured]) -> Measured:
    """Run it under a progress bar; what is known to go wrong is told in one sentence."""
    from order_service.bench.load import Unexpected
    from order_service.embedded import LauncherError

    known = (Unexpected, LauncherError)
    try:
        with _Bar() as bar:
            return run(bar.tell)
    except known as error:
        fail(error)
    except BaseExceptionGroup as group:
        # Many clients fail for one reason.
        ours = group.subgroup(known)
        if ours is None:
            raise
        fail(_first(ours))


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _show(report: Report, results: Path, name: str, as_json: bool) -> None:
    from order_service.bench.chart import write_charts

    _keep(report, results, name, as_json)
    write_charts(report, results, name)
    if not as_json:
        print(_table(report))


def _keep(done: Struct, results: Path, name: str, as_json: bool) -> None:
    """Into its file, and to the program that asked."""
    import msgspec

    raw = msgspec.json.format(msgspec.json.encode(done), indent=1)
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_bytes(raw + b"\n")
    if as_json:
        print(raw.decode())


def _table(report: Report) -> str:
    rows: list[tuple[str, ...]] = [_HEAD]
    for line in report.lines:
        times = [f"{ms:.1f}" if ms else "-" for ms in (line.p50_ms, line.p95_ms, line.p99_ms)]
        cpu = [f"{us:,.0f}" if us else "-" for us in (line.service_us, line.postgres_us, line.broker_us)]
        rows.append((line.workload, str(line.clients), f"{line.per_s:,.0f}", *times, *cpu))
    return "\n".join(
        (
            _columns(rows),
            "",
            *report.notes,
            f"{report.machine}; {report.seconds_a_step:g} seconds a step. "
            "Microseconds are CPU for one order or read; pgbench tells a mean instead of a p50.",
        )
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(_cells(row, widths)) for row in rows)


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """The first column to the left, numbers to the right."""
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]


class _Bar:
    """How far it is, on stderr, where somebody watches."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, what: str, done: int, total: int) -> None:
        """Show what is being done."""
        self._bar.update(self._task, description=what, completed=done, total=total)
