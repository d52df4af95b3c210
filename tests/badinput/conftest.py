"""One run of the corpus against one whole system; the tests look at what came of it."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs
import psutil
import pytest

from order_service.embedded import Kafka, Postgres
from tests.system.harness import System

from . import bodies, frames
from .case import Case, Maker, Targets
from .footprint import Footprint, footprint
from .sender import Sender, Sent
from .sound import CONTROLS, WRITES, body, target

CONTROL_EVERY = 20
"""One request in so many is sound."""


def plan(seed: int, count: int, targets: Targets) -> Iterator[tuple[int, Case]]:
    """``count`` spoiled requests, every maker's first before anyone's second, with sound ones in between.

    Every request has a source of chance of its own, made of the seed and its number.
    """
    found: list[Maker] = [*bodies.makers(), *frames.makers()]
    order: list[Maker] = []
    for turn in range(-(-count // len(found))):
        order += Random(f"{seed}.{turn}").sample(found, len(found))
    for number, make in enumerate(order[:count]):
        if number % CONTROL_EVERY == 0:
            yield number, CONTROLS[number // CONTROL_EVERY % len(CONTROLS)](Random(f"{seed}:{number}s"), targets)
        yield number, make(Random(f"{seed}:{number}"), targets)


class Run:
    """What came of one run."""

    def __init__(self, system: System, seed: int, count: int) -> None:
        self.seed = seed
        self.count = count
        self._system = system
        self.targets, self.pattern = _prepare(system)
        self.before = footprint(system, events=1)
        described = system.call("GET", "/openapi.json").json["components"]
        schema = {"$ref": "#/components/schemas/Problem", "components": described}
        self._sender = Sender(system.port, jsonschema_rs.validator_for(schema))
        self.rss: list[int] = []

    def send(self) -> None:
        """Send all, in two halves; then look at what is there, and send the unspoiled requests."""
        cases = list(plan(self.seed, self.count, self.targets))
        middle = len(cases) // 2
        for half in (cases[:middle], cases[middle:]):
            asyncio.run(self._sender.run(half))
            self.rss.append(self._rss())
        self.after: Footprint = footprint(self._system, len(self.before.events) + len(self.placed()))
        self.log = _log(self._system.folder / "service.log")
        self.unspoiled = self._unspoiled()

    @property
    def refused(self) -> list[Sent]:
        """The spoiled requests."""
        return [sent for sent in self._sender.sent if not 200 <= sent.case.status < 300]

    @property
    def sound(self) -> list[Sent]:
        """The ones in between."""
        return [sent for sent in self._sender.sent if 200 <= sent.case.status < 300]

    def placed(self) -> set[str]:
        """The orders of the sound requests."""
        return {json.loads(sent.answer.body)["id"] for sent in self.sound if sent.answer.status == 201}

    def _rss(self) -> int:
        assert self._system.service is not None
        return int(psutil.Process(self._system.service.pid).memory_info().rss)

    def _unspoiled(self) -> dict[str, int]:
        """Operation -> status of the very requests that were spoiled, now without a fault."""
        found: dict[str, int] = {}
        for write in WRITES:
            sound: Any = body(write.name, Random(f"{self.seed}{write.name}"))
            found[write.name] = self._system.call(write.method, target(write.name, self.targets), sound).status
        return found


def _prepare(system: System) -> tuple[Targets, str]:
    """The orders that spoiled requests aim at, and one that is just placed."""
    made = {name: system.place()["id"] for name in Targets._fields if not name.startswith("call")}
    for name in ("confirmed", "processing", "delivered", "parked", "parked_too"):
        token = "tok_refund_fails" if name.startswith("parked") else "tok_visa"
        assert system.pay(made[name], token).status == 200
    for name in ("processing", "delivered"):
        assert system.put(made[name], "processing").status == 200
    for status in ("shipped", "delivered"):
        assert system.put(made["delivered"], status).status == 200
    for name in ("parked", "parked_too"):
        refund = system.call("POST", f"/api/v1/orders/{made[name]}/refunds", {"reason": "broken", "amount": 5})
        assert refund.status in (201, 202), refund.body
        made["call" if name == "parked" else "call_too"] = _parked_call(system, made[name])
    pattern = system.place(paymentMethod={"token": "tok_visa"})["id"]
    system.await_order(made["delivered"], stock="committed")
    return Targets(**made), pattern


def _parked_call(system: System, order: str) -> str:
    """The call that waits for people, once it does."""
    attention = system.until(lambda: system.get(order)["attention"])
    return str(attention["callId"])


def _log(file: Path) -> list[dict[str, Any]]:
    """The service's log; a line that is no JSON counts as an error."""
    lines = file.read_text(errors="replace").splitlines()
    return [json.loads(line) if line.startswith("{") else {"level": "error", "event": line} for line in lines]


@pytest.fixture(scope="module")
def run(
    postgres: Postgres,
    template_database: str,
    kafka: Kafka,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Run]:
    """The corpus, sent."""
    database = postgres.create_database(f"test_{secrets.token_hex(6)}", template=template_database)
    seed, count = request.config.getoption("--bad-seed"), request.config.getoption("--bad-requests")
    with System(database, kafka.bootstrap, tmp_path_factory.mktemp("badinput")) as system:
        system.start_service()
        done = Run(system, seed, count)
        done.send()
        print(f"sent {len(done.refused)} spoiled and {len(done.sound)} sound requests; RSS {done.rss} bytes")
        yield done
