"""A launcher and its servers as a process of its own, so that a test can kill it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[2]

# Starts the servers it is asked for, says what it started, and waits until it is told to stop.
PROGRAM = """
import json, os, signal, sys
from contextlib import ExitStack
from pathlib import Path
from order_service.embedded import Kafka, Postgres

signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
data_dir, wanted = Path(sys.argv[1]), sys.argv[2:]
facts = {"uid": os.getuid()}
with ExitStack() as stack:
    if "postgres" in wanted:
        facts["dsn"] = stack.enter_context(Postgres(data_dir)).dsn()
    if "kafka" in wanted:
        facts["bootstrap"] = stack.enter_context(Kafka(data_dir, prepare_next_boot=False)).bootstrap
    print(json.dumps(facts), flush=True)
    sys.stdin.readline()
"""


@dataclass(frozen=True)
class Launched:
    """A launcher with its servers, as a process of its own in a process group of its own."""

    process: subprocess.Popen[str]
    facts: dict[str, Any]
    family: list[psutil.Process]

    def say_stop(self) -> int:
        """Let it stop its servers; its exit code."""
        self.process.communicate("stop\n", timeout=60)
        return self.process.returncode


Launch = Callable[..., Launched]
