"""Several processes of the service behind one port: each is a whole replica, the kernel spreads the connections.

This process owns what must outlive any of them: for each place a socket bound to the port, whose queue of connections
never dies, and a mailbox for the connections that are open. They end with it, and one that dies is started again.
SIGHUP replaces them one by one: the new one serves before the old one is told to hand over.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType

import structlog
from msgspec import Struct

from order_service.handover import Mailbox
from order_service.signals import HAND_OVER, STOP

log = structlog.get_logger("workers")

CHILD = "ORDER_SERVICE_CHILD"
"""Set in the environment of each process: its parent's number, and the descriptors that were handed down to it."""

READY_WITHIN_S = 60.0
SHORTEST_LIFE_S = 5.0
"""A process that dies sooner than this after its start is started again only after a pause."""

PAUSE_S = 1.0
LOOK_S = 0.05


class Inherited(Struct):
    """What a process that is one of several has from its parent; no door where it serves no API."""

    door: socket.socket | None
    mailbox: Mailbox | None
    ready: int

    def tell_ready(self) -> None:
        """Let the parent know that this process does its work."""
        os.write(self.ready, b"r")
        os.close(self.ready)


def is_child() -> bool:
    """Whether this process is one of several behind one port."""
    return bool(os.environ.get(CHILD))


def is_orphan() -> bool:
    """Whether the parent died before this process could ask to end with it."""
    return os.environ[CHILD].partition(":")[0] != str(os.getppid())


def inherited() -> Inherited:
    """What the parent of this process has handed down."""
    ready, *more = (int(number) for number in os.environ[CHILD].split(":")[1:])
    if not more:
        return Inherited(None, None, ready)
    door, inward, outward = more
    return Inherited(socket.socket(fileno=door), Mailbox.inherited(inward, outward), ready)


class _Child:
    """One process, and the pipe by which it says that it is ready."""

    def __init__(self, command: Sequence[str], handed: Sequence[int]) -> None:
        self._ready, writer = os.pipe()
        numbers = ":".join(str(number) for number in (os.getpid(), writer, *handed))
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            command, env=os.environ | {CHILD: numbers}, pass_fds=(writer, *handed), start_new_session=True
        )
        os.close(writer)
        self.started = time.monotonic()

    @property
    def dead(self) -> bool:
        return self.process.poll() is not None

    @property
    def ready(self) -> bool:
        """Whether it has said so; the pipe of one that died is readable too, and empty."""
        readable, _, _ = select.select([self._ready], [], [], 0)
        return bool(readable) and not self.dead

    def ended(self, within_s: float) -> int:
        """Wait for its end, and force it when the time is up; its exit code."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            log.warning("worker_killed", pid=self.process.pid)
            self.process.kill()
            code = self.process.wait()
        os.close(self._ready)
        return 0 if code == -signal.SIGTERM else abs(code)  # so soon after its start that it had no ear for it yet


class _Place:
    """Where one process works after another, with what the next one takes over from the one before."""

    def __init__(self, door: socket.socket | None) -> None:
        self.door = door
        self._mailbox = Mailbox.make() if door is not None else None
        self.child: _Child | None = None
        self.not_before = 0.0

    @property
    def handed(self) -> tuple[int, ...]:
        if self.door is None or self._mailbox is None:
            return ()
        return (self.door.fileno(), *self._mailbox.descriptors)


class Workers:
    """The processes, from the first start to the last end."""

    def __init__(self, doors: Sequence[socket.socket | None], arguments: Sequence[str], *, end_within_s: float) -> None:
        self._places = [_Place(door) for door in doors]
        self._command = [sys.executable, "-m", "order_service", "serve", *arguments]
        self._end_within_s = end_within_s
        self._stopping = False
        self._replace = False

    def run(self) -> int:
        """Keep them going until SIGTERM or SIGINT; the exit code of the worst."""
        for number in STOP:
            signal.signal(number, self._on_stop)
        signal.signal(HAND_OVER, self._on_replace)
        for place in self._places:
            place.child = self._start(place)
        while not self._stopping:
            self._until(lambda: self._replace, float("inf"))
            if self._replace and not self._stopping:
                self._replace = False
                self._replace_all()
        return self._stop()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _on_replace(self, _number: int, _frame: FrameType | None) -> None:
        self._replace = True

    def _start(self, place: _Place) -> _Child:
        return _Child(self._command, place.handed)

    def _until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Wait for this, and start again meanwhile what dies; False if it is time to stop, or the time is up."""
        end = time.monotonic() + within_s
        while not self._stopping and time.monotonic() < end:
            if holds():
                return True
            for place in self._places:
                self._revive(place)
            time.sleep(LOOK_S)
        return False

    def _revive(self, place: _Place) -> None:
        child, now = place.child, time.monotonic()
        if child is not None and child.dead:
            log.warning("worker_ended", pid=child.process.pid, exit_code=child.process.returncode)
            child.ended(0)
            place.child = None
            place.not_before = now if now - child.started > SHORTEST_LIFE_S else now + PAUSE_S
        if place.child is None and now >= place.not_before:
            place.child = self._start(place)

    def _replace_all(self) -> None:
        """One after the other; if a new one does not get ready, all the others stay as they are."""
        log.info("replacing_workers", workers=len(self._places))
        for place in self._places:
            if not self._replace_one(place):
                return
        log.info("workers_replaced", workers=len(self._places))

    def _replace_one(self, place: _Place) -> bool:
        new = self._start(place)
        self._until(lambda: new.ready or new.dead, READY_WITHIN_S)
        if self._stopping or not new.ready:
            if not self._stopping:
                log.error("worker_not_replaced", pid=new.process.pid, exit_code=new.process.poll())
            new.process.send_signal(signal.SIGTERM)
            new.ended(self._end_within_s)
            return False
        old, place.child = place.child, new
        if old is not None:
            old.process.send_signal(HAND_OVER)
            self._until(lambda: old.dead, self._end_within_s)
            if self._stopping:
                old.process.send_signal(signal.SIGTERM)
            old.ended(self._end_within_s if self._stopping else 0)
        return True

    def _stop(self) -> int:
        """The doors are the children's alone from now on: the last one to close its door has emptied the queue."""
        children = [place.child for place in self._places if place.child is not None]
        for child in children:
            child.process.send_signal(signal.SIGTERM)
        for place in self._places:
            if place.door is not None:
                place.door.close()
        return max((child.ended(self._end_within_s) for child in children), default=0)
