"""Reading a body strictly: no lenient conversion, no repeated or unknown member, no NUL character.

The fast path is one typed decode and three cheap checks on the bytes. Whatever looks wrong is read a second time by
``explain``, without types, to list every fault at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from order_service.api import explain
from order_service.api.bodies import Unsound
from order_service.api.refusals import Fault, ValidationFailed
from order_service.api.schemas import validator

B = TypeVar("B", bound=msgspec.Struct)
M = TypeVar("M")
_encode = msgspec.json.Encoder().encode
_PLACE = re.compile(r" - at `\$(.*)`\Z")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


class Reader(Generic[B, M]):
    """Reads bodies of one shape into messages.

    ``to_message`` raises ``Unsound`` where the parts do not fit together, and ``rules`` tells of the untyped body
    why. ``empty`` allows no body at all, which stands for ``{}``.
    """

    def __init__(
        self,
        shape: type[B],
        to_message: Callable[[B], M],
        rules: Callable[[Any], list[Fault]] = explain.no_rules,
        *,
        empty: bool = False,
    ) -> None:
        self.shape = shape
        self.empty = empty
        self._decode = msgspec.json.Decoder(shape, strict=True).decode
        self._to_message = to_message
        self._rules = rules
        self._schema = validator(shape)

    def read(self, raw: bytes) -> M:
        """The message; raises ``MalformedJson``, or ``ValidationFailed`` with every fault."""
        if not raw and self.empty:
            raw = b"{}"
        try:
            body = self._decode(raw)
            message = self._to_message(body)
        except (msgspec.DecodeError, UnicodeDecodeError, Unsound) as reason:
            raise ValidationFailed(self._faults(raw) or [_fallback(reason)]) from None
        if _suspicious(raw, body) and (faults := self._faults(raw)):
            raise ValidationFailed(faults)
        return message

    def _faults(self, raw: bytes) -> list[Fault]:
        return explain.faults(raw, self._schema, self._rules)


def _suspicious(raw: bytes, body: msgspec.Struct) -> bool:
    """Whether members may be repeated or a NUL may hide: false only where neither can be.

    The decoder keeps the last of repeated members. Written out again, the body then has fewer quotation marks: at
    least the two around the member's name. Escaped marks are left out of the count on both sides; the one miscount
    left, a text that ends in a backslash, can only make a clean body look suspicious.
    """
    clean = _encode(body)
    if b"\\" not in raw:
        return raw.count(b'"') != clean.count(b'"')
    return b"\\u0000" in raw or _marks(raw) != _marks(clean)


def _marks(text: bytes) -> int:
    return text.count(b'"') - text.count(b'\\"')


def _fallback(reason: Exception) -> Fault:
    """The decoder's own words, should the second reading find nothing: a refusal always says why."""
    if not isinstance(reason, msgspec.ValidationError):
        return Fault("", "is not acceptable")
    text = str(reason)
    place = _PLACE.search(text)
    if place is None:
        return Fault("", text)
    steps = (explain.escape(name or index) for name, index in _STEP.findall(place[1]))
    return Fault("".join(f"/{step}" for step in steps), text[: place.start()])
