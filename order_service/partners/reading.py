"""Reading partner answers strictly: readable JSON of the right shape, or a named reason why not."""

import re
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

from order_service.core.answers import MAX_AMOUNT, Lied, Refused, Unanswered
from order_service.partners.wire import Reply

T = TypeVar("T")

Id = Annotated[str, Meta(pattern=r"\A[!-~]{1,200}\Z")]
"""An identifier of a partner: visible ASCII, short enough for an index and safe in a URL and a column."""
Amount = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
PositiveAmount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Pieces = Annotated[int, Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
"""Stock may be oversold at the partner: below zero is none, not a lie."""

_SYNTAX = msgspec.json.Decoder(msgspec.Raw)
"""Checks the grammar and builds no values: no number is too large for it."""
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class Body(msgspec.Struct, frozen=True, rename="camel"):
    """The members of an answer that we rely on; others are ignored."""


class Reader(Generic[T]):
    """Reads bodies of one shape."""

    def __init__(self, shape: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(shape)

    def read(self, reply: Reply) -> T | Unanswered | Lied:
        """Decode; not JSON at all settles nothing, JSON of another shape is a lie."""
        if reply.body is None:
            return Unanswered(reply.fault, reply.retry_after_s)
        try:
            # The decoder does not look into strings that it skips.
            reply.body.decode()
            return self._decoder.decode(reply.body)
        except msgspec.ValidationError as fault:
            if not _is_json(reply.body):
                return _unreadable(reply)
            # The decoder quotes what it met, and that is the partner's text.
            named = re.sub(r"'.*'", "that", str(fault), flags=re.DOTALL)
            return Lied(scrubbed(f"status {reply.status}: {named}"))
        except _UNREADABLE:
            return _unreadable(reply)


def members(reply: Reply) -> dict[str, Any]:
    """Give the members of a body that may be anything; nothing where there is no JSON object."""
    try:
        body = msgspec.json.decode(reply.body or b"")
    except _UNREADABLE:
        return {}
    return body if isinstance(body, dict) else {}


def refused(reply: Reply, secret: str = "") -> Refused:
    """Name a refusal by its `code`, if that is a plain word: anything more may carry a secret."""
    code = members(reply).get("code")
    if not isinstance(code, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code):
        code = ""
    if secret and secret in code:
        code = ""
    return Refused(reply.status, code or f"status {reply.status}")


def scrubbed(text: str, limit: int = 200) -> str:
    """Make foreign text safe for a column and a log line: no control characters, no lone surrogates."""
    return "".join(character if character.isprintable() else "?" for character in text[:limit])


def _is_json(body: bytes) -> bool:
    try:
        _SYNTAX.decode(body)
    except _UNREADABLE:
        return False
    return True


def _unreadable(reply: Reply) -> Unanswered:
    return Unanswered("unreadable body", reply.retry_after_s)
