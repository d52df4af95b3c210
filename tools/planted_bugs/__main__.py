"""`make planted-bugs`, or `python -m tools.planted_bugs`: is every deliberate fault caught by a test?"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tools.planted_bugs.bug import Bug, WrongPlace
from tools.planted_bugs.bugs import ALL
from tools.planted_bugs.proof import STAGES, ProofFailed
from tools.planted_bugs.run import NotSound, Result, Verdict, run

_COLOUR = {Verdict.CAUGHT: "green", Verdict.SURVIVED: "red", Verdict.BROKEN: "yellow"}


def main(
    only: Annotated[list[str], typer.Option(help="Plant this bug alone; may be given several times.")] = [],  # noqa: B006
    own: Annotated[
        Path | None, typer.Option(help="Bugs of your own instead: a JSON file like that of --list --json.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say what would be planted.")] = False,
    named_tests: Annotated[
        bool, typer.Option(help="Run the tests that a bug names, and no others behind them.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Bugs at once.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Plant each bug in a copy of the project and run the tests; exit code 0 only if all are caught."""
    out, err = Console(width=None if sys.stdout.isatty() else 160), Console(stderr=True)
    bugs = ALL if own is None else _own(own)
    unknown = sorted(set(only) - {bug.name for bug in bugs})
    if unknown:
        err.print(f"There is no bug {', '.join(unknown)}; --list names them.")
        raise typer.Exit(2)
    bugs = tuple(bug for bug in bugs if not only or bug.name in only)
    if list_:
        _print_list(out, bugs, as_json=as_json)
        return
    started = time.monotonic()
    try:
        results = _with_progress(err, bugs, jobs, () if named_tests else STAGES)
    except (WrongPlace, NotSound, ProofFailed) as fault:
        err.print(str(fault), markup=False)
        raise typer.Exit(2) from None
    _print_results(out, results, time.monotonic() - started, as_json=as_json)
    raise typer.Exit(0 if all(r.verdict is Verdict.CAUGHT for r in results) else 1)


def _own(file: Path) -> tuple[Bug, ...]:
    return tuple(
        Bug(b["name"], b.get("sentence", ""), b["file"], b["old"], b["new"], tuple(b.get("caughtBy", ())))
        for b in json.loads(file.read_text())
    )


def _with_progress(err: Console, bugs: tuple[Bug, ...], jobs: int, stages: tuple[str, ...]) -> list[Result]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err) as progress:
        bar = progress.add_task("planted bugs", total=len(bugs))

        def tell(news: Result | str) -> None:
            if isinstance(news, str):
                progress.console.print(news)
                return
            progress.advance(bar)
            colour = _COLOUR[news.verdict]
            progress.console.print(
                f"[{colour}]{news.verdict}[/] {news.bug.name} ({news.took_s:.0f} s)", highlight=False
            )

        return run(bugs, jobs=jobs, stages=stages, tell=tell)


def _print_list(out: Console, bugs: tuple[Bug, ...], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_named(bug) for bug in bugs], indent=1))
        return
    table = Table("bug", "what goes wrong", "file", title=f"{len(bugs)} bugs")
    for bug in bugs:
        table.add_row(bug.name, bug.sentence, bug.file)
    out.print(table)


def _named(bug: Bug) -> dict[str, object]:
    return {
        "name": bug.name,
        "sentence": bug.sentence,
        "file": bug.file,
        "old": bug.old,
        "new": bug.new,
        "caughtBy": list(bug.caught_by),
    }


def _print_results(out: Console, results: list[Result], took_s: float, *, as_json: bool) -> None:
    caught = sum(r.verdict is Verdict.CAUGHT for r in results)
    if as_json:
        rows = [
            {
                "bug": r.bug.name,
                "verdict": str(r.verdict),
                "test": r.test,
                "said": r.said,
                "expected": r.expected,
                "seconds": round(r.took_s, 1),
            }
            for r in results
        ]
        print(
            json.dumps({"planted": len(results), "caught": caught, "seconds": round(took_s, 1), "bugs": rows}, indent=1)
        )
        return
    table = Table("bug", "verdict", "by", "seconds", title=f"{caught} of {len(results)} caught in {took_s:.0f} s")
    for r in results:
        by = r.test if r.verdict is Verdict.CAUGHT else f"{r.test} {r.said}".strip()
        note = "" if r.expected or r.verdict is not Verdict.CAUGHT else " (another than expected)"
        table.add_row(r.bug.name, f"[{_COLOUR[r.verdict]}]{r.verdict}[/]", by + note, f"{r.took_s:.0f}")
    out.print(table)


if __name__ == "__main__":
    typer.run(main)
