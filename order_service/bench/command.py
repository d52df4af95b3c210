"""``order-service bench``: what an order costs on the user's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from order_service.terminal import Json, fail

if TYPE_CHECKING:
    from order_service.bench.plan import Report

_RESULTS = Path("bench/results")
_HEAD = ("workload", "clients", "a second", "p50 ms", "p95", "p99", "service us", "PostgreSQL us", "broker us")


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="The most important figures, within a minute.")] = False,
    results: Annotated[Path, typer.Option("--results", help="The folder for the JSON file and the plots.")] = _RESULTS,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only workloads whose name has this in it; may be repeated.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="How long each step lasts.", min=0.5)] = None,
    as_json: Json = False,
) -> None:
    """Measure orders and reads on servers of its own: rate, latency, CPU of each part, and PostgreSQL's own floor."""
    import msgspec

    from order_service.bench.chart import write_charts
    from order_service.bench.load import Unexpected
    from order_service.bench.plan import run_bench, steps
    from order_service.embedded import LauncherError

    chosen = [step for step in steps(quick=quick) if not only or any(part in step.workload for part in only)]
    if not chosen:
        fail(f"no workload has {' or '.join(only or [])} in its name.")
    try:
        with _Bar() as bar:
            report = run_bench(chosen, seconds or (1.5 if quick else 6.0), bar.tell)
    except* Unexpected as group:
        fail(group.exceptions[0])
    except* LauncherError as group:
        fail(group.exceptions[0])
    raw = msgspec.json.format(msgspec.json.encode(report), indent=1)
    results.mkdir(parents=True, exist_ok=True)
    name = "quick" if quick else "full"
    (results / f"{name}.json").write_bytes(raw + b"\n")
    write_charts(report, results, name)
    print(raw.decode() if as_json else _table(report))


def _table(report: Report) -> str:
    rows: list[tuple[str, ...]] = [_HEAD]
    for line in report.lines:
        times = [f"{ms:.1f}" if ms else "-" for ms in (line.p50_ms, line.p95_ms, line.p99_ms)]
        cpu = [f"{us:,.0f}" if us else "-" for us in (line.service_us, line.postgres_us, line.broker_us)]
        rows.append((line.workload, str(line.clients), f"{line.per_s:,.0f}", *times, *cpu))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    text = "\n".join("  ".join(_cells(row, widths)) for row in rows)
    return (
        f"{text}\n\n{report.machine}; {report.seconds_a_step:g} seconds a step. "
        "Microseconds are CPU for one order or read; pgbench tells a mean instead of a p50."
    )


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
