"""Structured logs: one JSON object per line, with the correlation id of the request that caused it.

Nothing personal and no token is ever passed to a logger; ids and states are enough to find the rest.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import select
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_NAMES = {"warn": "warning", "exception": "error", "fatal": "critical"}


def configure_logging(level: str = "info", fmt: str = "json") -> None:
    """Set up structlog for the process: JSON lines on stderr, or plain text for people."""
    if fmt == "json":
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, _rendered],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            logger_factory=_Lines(sys.stderr.fileno()),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(),
                    # The default shows the local variables of every frame: addresses, tokens.
                    exception_formatter=structlog.dev.plain_traceback,
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


def _rendered(logger: Any, name: str, line: Any) -> bytes:
    """The whole line in one step: five of them belong to every order."""
    if "exc_info" in line:
        line = structlog.processors.format_exc_info(logger, name, line)
    line["level"] = _NAMES.get(name, name)
    line["time"] = datetime.now(UTC)
    return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z)


class _Lines:
    """Writes lines; within the event loop those of one turn go together, a moment later, in one write.

    What is worse than information is written at once, with all that came before it. A process that is killed loses
    the lines of its last turn at most.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._lines: list[bytes] = []
        atexit.register(self._write)

    def __call__(self, *_: Any) -> _Lines:
        return self

    def info(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self._write)
            except RuntimeError:
                self._write()

    debug = info

    def warning(self, line: bytes) -> None:
        self._lines.append(line)
        self._write()

    warn = error = exception = critical = fatal = log = msg = warning

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        rest = b"\n".join((*lines, b""))
        while rest:
            try:
                rest = rest[os.write(self._file, rest) :]
            except BlockingIOError:
                select.select([], [self._file], [])
            except OSError:
                return  # nobody reads our lines any more; the orders go on


class _ToStructlog(logging.Handler):
    """Libraries log through the standard library; their lines join ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), exc_info=record.exc_info)
