"""How connections end when their process does: none under a request that its client has just sent.

| the process | its door | a connection between two requests | one with a request under way |
|---|---|---|---|
| leaves | takes in who is queued, closes | may send one more request, then ends | told that this is its last answer |
| hands over | closes; the parent keeps it open | goes to the successor | answered, then goes there |
"""

from __future__ import annotations

from msgspec import Struct

from order_service.api.protocol import LimitedProtocol
from order_service.handover import Mailbox


class Leaving(Struct):
    """What all connections of one server know about its end."""

    mailbox: Mailbox | None = None
    last_answers: bool = False
    """Every answer from now on is the last one on its connection."""
    handing_over: bool = False


class LeavingProtocol(LimitedProtocol):
    """A connection that can be ended, or given away, at the moment that hurts nobody."""

    leaving = Leaving()

    def on_headers_complete(self) -> None:
        """The head is complete; the answer says whether it is the last."""
        super().on_headers_complete()
        if self.leaving.last_answers and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """The answer is written. What the client sends next is for the successor, if there is to be one."""
        super().on_response_complete()
        if self.leaving.handing_over and self._between_requests:
            self.flow.pause_reading()

    def say_goodbye(self) -> None:
        """The answer that is still to come, if there is one, tells the client that it is the last."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False
        if self._between_requests:
            self.flow.resume_reading()  # what a successor was to read is for us now

    def hand_over(self) -> None:
        """Give the connection to the successor, unless a request or an answer is on its way."""
        mailbox = self.leaving.mailbox
        if mailbox is None or not self.at_rest:
            return
        if mailbox.put(self.transport.get_extra_info("socket").fileno()):
            self.transport.close()  # of our descriptor only: the connection lives on in the copy

    @property
    def at_rest(self) -> bool:
        """Whether the client has nothing to expect: all its requests are answered, all answers sent."""
        return (
            self._between_requests and not self.transport.is_closing() and self.transport.get_write_buffer_size() == 0
        )

    @property
    def _between_requests(self) -> bool:
        return (
            self._head_since is None
            and self._body_since is None
            and not self.pipeline
            and (self.cycle is None or self.cycle.response_complete)
        )
