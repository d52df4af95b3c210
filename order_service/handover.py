"""Open connections on their way from a process that leaves to the one that takes its place.

A connection between two requests is nothing but its file descriptor: what its client sends next waits in the kernel for
whoever reads it. So a client that keeps its connections open never learns that the process behind them was replaced.
"""

from __future__ import annotations

import array
import os
import socket
from contextlib import suppress

_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_NOT_NOW = (BlockingIOError, InterruptedError)


class Mailbox:
    """A pair of sockets that outlives the processes which write and read it: the parent of both holds it open."""

    def __init__(self, inward: socket.socket, outward: socket.socket) -> None:
        self._inward, self._outward = inward, outward
        for end in (inward, outward):
            end.setblocking(False)

    @classmethod
    def make(cls) -> Mailbox:
        """A new and empty one."""
        return cls(*socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))

    @classmethod
    def inherited(cls, inward: int, outward: int) -> Mailbox:
        """The one whose descriptors a parent has handed down."""
        return cls(socket.socket(fileno=inward), socket.socket(fileno=outward))

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both ends: where connections are put in, where they are taken out."""
        return self._inward.fileno(), self._outward.fileno()

    def put(self, connection: int) -> bool:
        """Send a copy of this descriptor; False when there is no room, or nobody there for good."""
        held = array.array("i", [connection])
        try:
            return self._inward.sendmsg([b"c"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)]) == 1
        except OSError:
            return False

    def take(self) -> socket.socket | None:
        """The next connection, or None when none is waiting."""
        space = socket.CMSG_SPACE(array.array("i").itemsize)
        with suppress(*_NOT_NOW):
            _, told, _, _ = self._outward.recvmsg(1, space, _CLOSE_ON_EXEC)
            for level, kind, data in told:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    [descriptor] = array.array("i", data)
                    os.set_inheritable(descriptor, False)
                    return _connection(descriptor)
        return None


def _connection(descriptor: int) -> socket.socket:
    connection = socket.socket(fileno=descriptor)
    connection.setblocking(False)
    return connection
