"""Make the cache that halves Kafka's boot time: `python -m order_service.embedded.prepare DATA_DIR`.

Boots a Kafka of its own on throw-away data while Java records what it loads, stops it, and lets Java write the
cache. The cache gets its name only when it is whole. Runs at the lowest priority; ends with whom started it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from pathlib import Path

from order_service.embedded import java
from order_service.embedded.child import run_once
from order_service.embedded.errors import LauncherError
from order_service.embedded.jars import JarCache
from order_service.embedded.kafka import Kafka, Program, user_cache

_SCRATCH_PREFIX = "preparing-"


class _RecordedKafka(Kafka):
    """A Kafka whose Java writes down what it loads."""

    def __init__(self, data_dir: Path, program: Program, record: Path) -> None:
        super().__init__(data_dir, prepare_next_boot=False)
        self._program = program
        self._record = record

    def _find_program(self) -> Program:
        return self._program

    def _aot_options(self, program: Program) -> list[str]:
        if not (self._folder.data / "meta.properties").exists():
            return []  # Formatting the data is not what is to be recorded.
        return ["-XX:AOTMode=record", f"-XX:AOTConfiguration={self._record}"]


def prepare(data_dir: Path) -> None:
    """Make the cache for the Java and the jars that `data_dir` uses, unless another process does or did."""
    cache_dir = user_cache(data_dir)
    jars = JarCache(cache_dir / "jars")
    program = Program(java.find_java(), cache_dir, jars.paths())
    aot_dir = cache_dir / "aot"
    aot_dir.mkdir(parents=True, exist_ok=True)
    with (aot_dir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        for leftover in aot_dir.glob(_SCRATCH_PREFIX + "*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if program.aot_cache is not None and not program.aot_cache.exists():
            with tempfile.TemporaryDirectory(dir=aot_dir, prefix=_SCRATCH_PREFIX) as scratch:
                _make(program, Path(scratch), program.aot_cache)
        java.prune(aot_dir)


def _make(program: Program, scratch: Path, cache: Path) -> None:
    record = scratch / "record"
    with _RecordedKafka(scratch, program, record):
        pass
    draft = scratch / cache.name
    # Two steps, although Java could do both at the stop: it would do the second in a grandchild that outlives us.
    run_once(
        program.java.command(
            program.jars, ["-Xmx512m", "-XX:AOTMode=create", f"-XX:AOTConfiguration={record}", f"-XX:AOTCache={draft}"]
        ),
        log=scratch / "create.log",
        cwd=scratch,
        env=java.environment(),
        what="Making Kafka's boot cache",
    )
    draft.replace(cache)


if __name__ == "__main__":
    os.nice(19)
    try:
        prepare(Path(sys.argv[1]))
    except LauncherError as error:
        sys.exit(str(error))
