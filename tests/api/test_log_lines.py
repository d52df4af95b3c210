"""Lines of the log: none is lost or out of order, and what is worse than information waits for nothing."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from typing import Any

import orjson

from order_service.telemetry import _Lines, _rendered


class Pipe:
    """What was written so far, line by line."""

    def __init__(self) -> None:
        self._out, self.file = os.pipe()
        os.set_blocking(self._out, False)

    def lines(self) -> list[bytes]:
        try:
            return os.read(self._out, 2**16).splitlines()
        except BlockingIOError:
            return []


def test_lines_of_one_turn_of_the_loop_are_written_together_after_it() -> None:
    async def story() -> None:
        pipe = Pipe()
        lines = _Lines(pipe.file)
        lines.info(b"one")
        lines.debug(b"two")
        assert pipe.lines() == []
        await asyncio.sleep(0)
        assert pipe.lines() == [b"one", b"two"]
        lines.info(b"three")
        await asyncio.sleep(0)
        assert pipe.lines() == [b"three"]

    asyncio.run(story())


def test_a_warning_is_written_at_once_behind_what_came_before_it() -> None:
    async def story() -> None:
        pipe = Pipe()
        lines = _Lines(pipe.file)
        lines.info(b"one")
        lines.warning(b"two")
        assert pipe.lines() == [b"one", b"two"]
        lines.info(b"three")
        await asyncio.sleep(0)
        assert pipe.lines() == [b"three"]

    asyncio.run(story())


def test_outside_the_loop_a_line_is_written_at_once() -> None:
    pipe = Pipe()
    _Lines(pipe.file).info(b"one")
    assert pipe.lines() == [b"one"]


def test_a_reader_that_went_away_is_no_fault() -> None:
    out, file = os.pipe()
    os.close(out)
    lines = _Lines(file)
    lines.warning(b"one")
    lines.warning(b"two")


def test_a_line_has_its_level_its_time_in_utc_and_the_trace_of_a_fault() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        line: dict[str, Any] = orjson.loads(_rendered(None, "exception", {"event": "x", "exc_info": True, "s": {1}}))
    assert (line["event"], line["level"], line["s"]) == ("x", "error", "{1}")
    assert line["time"].endswith("Z")
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None
    assert line["exception"].endswith("ValueError: why")
    assert "exc_info" not in line
