"""A launcher with both servers as a process of its own, so that a test can kill it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[2]

# Starts both servers, says what it started, and waits until it is told to stop.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from order_service.embedded import Kafka, Postgres

signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
data_dir = Path(sys.argv[1])
with Postgres(data_dir) as postgres, Kafka(data_dir, prepare_next_boot=False) as kafka:
    print(json.dumps({"postgres": postgres.pid, "kafka": kafka.pid, "dsn": postgres.dsn(), "uid": os.getuid(),
                      "bootstrap": kafka.bootstrap}), flush=True)
    sys.stdin.readline()
"""


@dataclass(frozen=True)
class Launched:
    """A launcher with its two servers, as a process of its own in a process group of its own."""

    process: subprocess.Popen[str]
    facts: dict[str, Any]
    family: list[psutil.Process]

    def say_stop(self) -> int:
        """Let it stop its servers; its exit code."""
        self.process.communicate("stop\n", timeout=60)
        return self.process.returncode


Launch = Callable[..., Launched]
