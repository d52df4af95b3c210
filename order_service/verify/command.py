"""`order-service verify`: finds the sources, runs the verification, tells the result."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from order_service.terminal import Json, settings

if TYPE_CHECKING:
    from order_service.config import Settings
    from order_service.verify.catalogue import Source
    from order_service.verify.ledger import Ledger
    from order_service.verify.run import Limits, Sources, Tallies
    from order_service.verify.topic import KafkaTopic

_NAMES = ("payments", "inventory", "topic")
CANNOT_LOOK = 2


def verify(
    payments: Annotated[
        str | None, typer.Option(metavar="FILE", help="The payment service's report, or the URL of its ledger.")
    ] = None,
    reservations: Annotated[
        str | None, typer.Option(metavar="FILE", help="The inventory's report, or the URL of its ledger.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Do not look at payments, inventory or topic; may be repeated.")
    ] = None,
    settle: Annotated[float, typer.Option(min=0, help="Seconds to wait for what is in flight.")] = 0,
    as_json: Json = False,
) -> None:
    """Check every invariant of money, stock, history, events, keys and calls; exit code 0 only if all hold.

    1: something does not hold, or with --settle something is still in flight. 2: not everything could be looked at.
    """
    unknown = [name for name in without or () if name not in _NAMES]
    if unknown:
        _cannot(f"--without {unknown[0]} is no source; the sources are {', '.join(_NAMES)}.")
    import asyncpg

    from order_service.verify.ledger import CannotRead

    started = time.monotonic()
    try:
        tallies, code = asyncio.run(_verify(settings(), payments, reservations, without or [], settle))
    except CannotRead as error:
        _cannot(str(error))
    except (OSError, ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        _cannot(f"the database does not answer: {error or type(error).__name__}.")
    from order_service.verify import report

    took_s = time.monotonic() - started
    if as_json:
        print(report.as_json(tallies, code, took_s))
    else:
        report.show(tallies, code, took_s, settle=settle > 0)
    raise SystemExit(code)


def _cannot(sentence: str) -> NoReturn:
    print(f"order-service: {sentence}", file=sys.stderr)
    raise SystemExit(CANNOT_LOOK)


async def _verify(
    chosen: Settings, payments: str | None, reservations: str | None, without: list[str], settle_s: float
) -> tuple[Tallies, int]:
    from order_service.running import endpoints
    from order_service.verify.catalogue import Source
    from order_service.verify.run import Sources, Verification, verdict
    from order_service.verify.scratch import Scratch

    known = endpoints(chosen)
    dsn = known.get("database")
    if not dsn:
        _cannot("no database is known; set ORDER_SERVICE_DATABASE_URL or start the system with `make run`.")
    missing = [Source(name) for name in without]
    sources = Sources()
    await _ledgers(sources, missing, payments, reservations, chosen, known)
    with ExitStack() as stack:
        topic = _topic(missing, known, chosen)
        if topic is not None:
            stack.callback(topic.close)
            sources.topic = topic
        progress = stack.enter_context(_Bar())
        scratch = await Scratch.open(dsn)
        try:
            tallies = await Verification(scratch, sources, _limits(chosen), progress.tell).run(settle_s)
        finally:
            await scratch.close()
    return tallies, verdict(tallies, missing, settle=settle_s > 0)


def _limits(chosen: Settings) -> Limits:
    """A call may be late by two leases and the longest backoff before somebody has to look."""
    from order_service.engine import POLL_CAP_S
    from order_service.verify.run import Limits

    return Limits(overdue_s=2 * chosen.lease + POLL_CAP_S)


async def _ledgers(
    sources: Sources,
    missing: list[Source],
    payments: str | None,
    reservations: str | None,
    chosen: Settings,
    known: dict[str, str],
) -> None:
    from order_service.verify.catalogue import Source

    if Source.PAYMENTS not in missing:
        sources.payments = await _ledger(payments, chosen.payment_url or known.get("payment"))
    if Source.INVENTORY not in missing:
        sources.inventory = await _ledger(reservations, chosen.inventory_url or known.get("inventory"))
    if _same(sources.payments, sources.inventory):
        sources.inventory = sources.payments  # one ledger of both is read once


def _same(one: Ledger | None, other: Ledger | None) -> bool:
    from order_service.verify.ledger import HttpLedger

    return isinstance(one, HttpLedger) and isinstance(other, HttpLedger) and one.address == other.address


async def _ledger(named: str | None, base: str | None) -> Ledger | None:
    from order_service.verify.ledger import FileLedger, HttpLedger, offered

    if named is None:
        return None if base is None else await offered(base)
    if named.startswith(("http://", "https://")):
        return HttpLedger(named)
    return FileLedger(Path(named))


def _topic(missing: list[Source], known: dict[str, str], chosen: Settings) -> KafkaTopic | None:
    from order_service.verify.catalogue import Source
    from order_service.verify.topic import KafkaTopic

    if Source.TOPIC in missing or not known.get("kafka"):
        return None
    return KafkaTopic(known["kafka"], chosen.events_topic)


class _Bar:
    """What is being done, on stderr, where somebody watches."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description:30}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("verifying", total=None)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, what: str, done: int, total: int | None) -> None:
        """Show how far it is."""
        self._bar.update(self._task, description=what, completed=done, total=total)
