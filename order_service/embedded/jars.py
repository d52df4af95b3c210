"""Kafka's program files: 45 jars, pinned by hash, fetched once per user.

The lock beside this file names every jar with its SHA-256; nothing is resolved at run time. The cache is never
trusted: each start hashes all files anew (about 44 MB, a tenth of a second), and a file that does not match is
fetched again or refused, wherever it came from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from order_service.embedded.errors import LauncherError, from_os_error

LOCK = Path(__file__).with_name("kafka-jars.lock")

_THREADS = 8
_ATTEMPTS = 3
_TIMEOUT_S = 60
_SCRATCH_PREFIX = ".fetching-"


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Its name in the cache; the lock has each artifact once."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock(lock: Path) -> list[Jar]:
    """The jars of a lock file: lines of `group:artifact:version sha256:hex`, sorted as the class path needs them."""
    jars = []
    for line in lock.read_text().splitlines():
        coordinate, digest = line.split()
        group, artifact, version = coordinate.split(":")
        jars.append(Jar(group, artifact, version, digest.removeprefix("sha256:")))
    return sorted(jars, key=lambda jar: jar.file_name)


class JarCache:
    """The jars of a lock in a folder of this user.

    `repository` is the address of a Maven repository; by default the public one, or the one in
    ORDER_SERVICE_MAVEN_REPOSITORY (a company's mirror): whoever serves the files, only the hashes are believed.
    """

    def __init__(self, folder: Path, lock: Path = LOCK, repository: str | None = None) -> None:
        self.folder = folder
        self._lock = lock
        self._repository = repository or os.environ.get("ORDER_SERVICE_MAVEN_REPOSITORY")

    @cached_property
    def _jars(self) -> list[Jar]:
        return read_lock(self._lock)

    def paths(self) -> list[Path]:
        """All jars, in the order of the class path."""
        return [self.folder / jar.file_name for jar in self._jars]

    def missing(self) -> list[Jar]:
        """The jars that are not there or not what the lock says."""
        return [jar for jar in self._jars if not _matches(self.folder / jar.file_name, jar)]

    def fill(self, progress: Callable[[str], None]) -> None:
        """Fetch what is missing; several processes may do so at once."""
        if not self.missing():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _alone(self.folder / ".lock", progress):
                # Whoever was before us may have fetched everything.
                if missing := self.missing():
                    self._sweep()
                    self._fetch_all(missing, progress)
        except OSError as error:
            raise from_os_error(error, f"Kafka's program files could not be written to {self.folder}") from error

    def _sweep(self) -> None:
        """Remove what a killed process had half fetched; only whoever is alone may do so."""
        for leftover in self.folder.glob(_SCRATCH_PREFIX + "*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _fetch_all(self, missing: list[Jar], progress: Callable[[str], None]) -> None:
        progress(f"Kafka: fetching {len(missing)} program files (44 MB in all, once per user).")
        pool = ThreadPoolExecutor(_THREADS)
        try:
            fetching = [pool.submit(self._fetch, jar) for jar in missing]
            tenth = 0
            for done, fetched in enumerate(as_completed(fetching), start=1):
                fetched.result()
                if done * 10 // len(missing) > tenth:
                    tenth = done * 10 // len(missing)
                    progress(f"Kafka: {done} of {len(missing)} program files fetched ({100 * done // len(missing)} %).")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, jar: Jar) -> None:
        """Fetch one jar into a folder of its own; only a whole, right file ever gets its name in the cache."""
        failure: Exception | None = None
        for _ in range(_ATTEMPTS):
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=_SCRATCH_PREFIX) as scratch:
                try:
                    fetched = _download(jar, Path(scratch), self._repository)
                except Exception as error:  # The downloader promises no kinds of errors; all mean: not fetched.
                    if isinstance(error, OSError) and error.errno is not None:
                        raise
                    failure = error
                    continue
                if _matches(fetched, jar):
                    fetched.replace(self.folder / jar.file_name)
                    return
                failure = None
        if failure is not None:
            raise LauncherError(
                f"Kafka's program file {jar.file_name} could not be fetched; connect this machine to the internet "
                "once, or set ORDER_SERVICE_KAFKA_BOOTSTRAP_SERVERS to a Kafka that runs elsewhere."
            ) from failure
        raise LauncherError(
            f"Kafka's program file {jar.file_name} was refused because it is not the file that the lock names: "
            "its SHA-256 differs."
        )


def _matches(file: Path, jar: Jar) -> bool:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _download(jar: Jar, scratch: Path, repository: str | None) -> Path:
    # Imported here because it costs a third of a second and is needed once per user.
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(
        resolver=PythonResolver(),
        repo_cache=scratch,
        remote_repos={"central": repository or MAVEN_CENTRAL_URL},
        timeout=_TIMEOUT_S,
    )
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact("", "jar").resolve())


@contextlib.contextmanager
def _alone(lock: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time in; the next one waits until the first is done or dead."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Kafka: waiting for another process that fetches the program files.")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
