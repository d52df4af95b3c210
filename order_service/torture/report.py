"""What a run came to: one line per scenario while it goes on, a summary for people, one JSON document for programs."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct, field
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from order_service.torture.kills import Kills
from order_service.torture.stage import Totals


class Scenario(Struct):
    """One thing that was done to the service, and whether it survived."""

    name: str
    survived: bool = False
    detail: str = ""
    took_s: float = 0.0


class Report(Struct):
    """All of a run. ``failures`` are sentences; none where everything was survived."""

    form: str
    seed: int
    scenarios: list[Scenario] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    kills: Kills = field(default_factory=Kills)
    totals: Totals = field(default_factory=Totals)
    faults: Counter[str] = field(default_factory=Counter)
    """What partners were made to do, by fault, and what else happened, by name."""
    took_s: float = 0.0
    folder: str = ""
    file: Path | None = None
    """Where the report is written behind every scenario, so that a run that is cut off has one too."""

    @property
    def survived(self) -> bool:
        """Whether the service went through everything unharmed."""
        return not self.failures and all(scenario.survived for scenario in self.scenarios)


def as_json(report: Report) -> str:
    """The whole report as one JSON document."""
    kills, totals = report.kills, report.totals
    return json.dumps(
        {
            "form": report.form,
            "seed": report.seed,
            "survived": report.survived,
            "tookS": round(report.took_s, 1),
            "failures": report.failures,
            "folder": report.folder or None,
            "scenarios": [
                {"name": s.name, "survived": s.survived, "detail": s.detail, "tookS": round(s.took_s, 1)}
                for s in report.scenarios
            ],
            "kills": {
                "total": kills.total,
                "places": len(kills.by_place),
                "minOrdersInFlight": min(kills.in_flight, default=0),
                "medianOrdersInFlight": statistics.median(kills.in_flight) if kills.in_flight else 0,
                "byPlace": dict(sorted(kills.by_place.items())),
                "missed": sorted(name for name in kills.missed if not kills.by_place[name]),
            },
            "orders": totals.orders,
            "lives": totals.lives,
            "statuses": dict(totals.statuses),
            "answers": {str(status): count for status, count in sorted(totals.answers.items())},
            "answersRepeated": totals.answers_repeated,
            "faults": dict(report.faults),
            "verify": {
                "times": totals.verifications,
                "violations": totals.violations,
                "parked": totals.parked,
                "rows": dict(totals.rows),
            },
        },
        indent=1,
    )


class Teller:
    """Says what happens, on stderr: a bar where somebody watches, and a line for each scenario that is over."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._began = time.monotonic()
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description:40}"), BarColumn(), TextColumn("{task.fields[told]}"))
        self._bar = Progress(
            *columns, TimeElapsedColumn(), console=self.console, transient=True, disable=not sys.stderr.isatty()
        )
        self._task = self._bar.add_task("starting", total=None, told="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def progress(self, what: str, done: int | None = None, total: int | None = None, told: str = "") -> None:
        """Show what is being done and how far it is."""
        self._bar.update(self._task, description=what, completed=done or 0, total=total, told=told)

    def scenario(self, name: str, detail: str, *, survived: bool, took_s: float) -> None:
        """Say that a scenario is over."""
        report = self._report
        report.scenarios.append(Scenario(name, survived, detail, took_s))
        report.took_s = time.monotonic() - self._began
        if report.file is not None:
            report.file.write_text(as_json(report) + "\n")
        word = "[green]survived[/]" if survived else "[bold red]FAILED[/]  "
        self.console.print(f"{word} {took_s:6.1f} s  {escape(name):38} {escape(detail)}")

    def failure(self, sentence: str) -> None:
        """Say what went wrong."""
        self._report.failures.append(sentence)
        self.console.print(f"[bold red]{escape(sentence)}[/]")


def show(report: Report) -> None:
    """Print the summary."""
    console = Console(highlight=False, soft_wrap=True)
    kills, totals = report.kills, report.totals
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    rows = {
        "orders": f"{totals.orders:,}, which ended {_counts(totals.statuses)}",
        "answers": _counts({str(k): v for k, v in sorted(totals.answers.items())}),
        "asked again": f"{totals.answers_repeated:,} answers, by the same key: the same bytes",
        "kills": f"{kills.total:,} at {len(kills.by_place)} places; orders in flight at each: "
        f"{min(kills.in_flight, default=0)} at least",
        "faults": _counts(report.faults) or "none",
        "verify": f"{totals.verifications} times, {totals.violations} violations, {totals.parked} parked, "
        f"{sum(totals.rows.values()):,} rows",
    }
    for name, text in rows.items():
        table.add_row(name, escape(text))
    console.print(table)
    for sentence in report.failures:
        console.print(f"[bold red]{escape(sentence)}[/]")
    word = "Survived" if report.survived else "NOT survived"
    kept = f"; everything is kept in {report.folder}" if report.folder else ""
    console.print(f"\n{word} with seed {report.seed} ({report.took_s:.0f} s){escape(kept)}.")


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.items())


def details(**more: Any) -> str:
    """Figures as they stand behind a scenario."""
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in more.items())
