"""Every field of every body times every class of fault, and what can be wrong with a body as a whole."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from order_service.api.explain import MAX_DEPTH
from tests.api.corpus import Field, changed, doubled, pointer, removed, values

from .case import JSON, Case, Headers, Maker, Targets, chunked, http, key
from .sound import MAX_BODY, WRITES, Write, body, encoded, target

INVALID = (422, "validation-failed")
MALFORMED = (400, "malformed-json")
TOO_LARGE = (413, "body-too-large")
NOT_JSON = (415, "unsupported-media-type")

_CARD = "my card is 4111 1111 1111 1111, thanks"
_CARD_FREE = ("notes", "reason", "note", "token", "channel")
_TOKEN = b'"@@token"'
_NO_JSON: dict[str, bytes] = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "minus Infinity": b"-Infinity",
    "high surrogate alone": rb'"\ud800"',
    "low surrogate alone": rb'"a\udc00b"',
    "surrogates in the wrong order": rb'"\udc00\ud800"',
    "a byte that is no UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "UTF-8 cut off": b'"\xf0\x9f\x98"',
    "nested too deep": b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
    "objects nested too deep": b'{"a":' * MAX_DEPTH + b"{}" + b"}" * MAX_DEPTH,
    "a leading zero": b"01",
    "a plus": b"+1",
    "no digit before the point": b".5",
    "no digit behind the point": b"1.",
    "hexadecimal": b"0x10",
    "an unfinished word": b"tru",
    "single quotes": b"'x'",
    "a control character": b'"\x01"',
    "a raw newline": b'"a\nb"',
    "an unknown escape": rb'"\q"',
    "half an escape": rb'"\u12"',
    "an open string": b'"x',
    "nothing": b"",
    "a comma too many": b"[1,]",
    "a comment": b"/* no */ 1",
    "undefined": b"undefined",
}
"""What no JSON reader should take for a value."""

_TOO_LONG: dict[str, bytes] = {
    "10^400": b"1" + b"0" * 400,
    "minus 10^400": b"-1" + b"0" * 400,
    "1e400": b"1e400",
    "1e-400": b"1e-400",
}
"""Numbers for every reader, and values for no field of ours."""


def makers() -> Iterator[Maker]:
    """All of them, in an order that never changes."""
    for write in WRITES:
        for field in write.fields:
            yield from _of_field(write, field)
        yield from _of_whole(write)


def _case(
    write: Write,
    fault: str,
    spoil: Callable[[Any], bytes],
    status: tuple[int, str],
    place: str | None,
) -> Maker:
    def make(random: Random, targets: Targets) -> Case:
        raw = spoil(body(write.name, random))
        data = http(write.method, target(write.name, targets), raw, key(random))
        return Case(f"{write.name} {fault}", data, *status, place)

    return make


def _of_field(write: Write, field: Field) -> Iterator[Maker]:
    place = pointer(field.path)
    told = place or "(all)"
    for fault, value in values(field):
        yield _case(write, f"{told} {fault}", _changer(field, value), INVALID, place)
    for fault, raw in _NO_JSON.items():
        if fault == "nothing" and not field.path:
            continue  # an empty body, which some operations take: it has a case of its own
        yield _case(write, f"{told} {fault}", _token(field, raw), MALFORMED, None)
    for fault, raw in _TOO_LONG.items():
        yield _case(write, f"{told} {fault}", _token(field, raw), INVALID, place)
    if field.required:
        yield _case(write, f"{told} missing", lambda sound: removed(sound, field.path), INVALID, place)
    if not field.nullable and field.kind in ("text", "number", "object", "list", "map", "user"):
        yield _case(write, f"{told} null", _changer(field, None), INVALID, place)
    if field.kind == "object":
        for name in ("unknown", "a/b", "m~n", "id", "total", "", "é", "__proto__", "a\0b", "userID"):
            inner = (*field.path, name)
            spoil = _changer(field._replace(path=inner), 1)
            yield _case(write, f"{told} unknown member {name!r}", spoil, INVALID, pointer(inner))
    if field.path and isinstance(field.path[-1], str):
        yield _case(write, f"{told} twice", lambda sound: doubled(sound, field.path), INVALID, place)
        if field.path[-1] in _CARD_FREE:
            yield _case(write, f"{told} card number", _changer(field, _CARD), INVALID, place)


def _changer(field: Field, value: Any) -> Callable[[Any], bytes]:
    return lambda sound: changed(sound, field.path, value)


def _token(field: Field, raw: bytes) -> Callable[[Any], bytes]:
    return lambda sound: changed(sound, field.path, "@@token").replace(_TOKEN, raw)


_OTHER_TYPES: dict[str, Headers] = {
    "no content type": (),
    "an empty content type": (("Content-Type", ""),),
    "text/plain": (("Content-Type", "text/plain"),),
    "a form": (("Content-Type", "application/x-www-form-urlencoded"),),
    "a multipart form": (("Content-Type", "multipart/form-data; boundary=x"),),
    "XML": (("Content-Type", "application/xml"),),
    "almost JSON": (("Content-Type", "application/json5"),),
    "JSON of another kind": (("Content-Type", "application/merge-patch+json"),),
    "two content types in one": (("Content-Type", "application/json, text/plain"),),
    "two content types": (JSON, JSON),
    "gzip declared": (JSON, ("Content-Encoding", "gzip")),
    "brotli declared": (JSON, ("Content-Encoding", "br")),
    "two codings declared": (JSON, ("Content-Encoding", "identity, gzip")),
    "identity and gzip": (JSON, ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")),
}
_BREAKERS: dict[str, Callable[[bytes, Random], bytes]] = {
    "cut off": lambda raw, random: raw[: random.randrange(1, len(raw) - 1)],
    "only white space": lambda _, random: b" \n" * random.randint(1, 50),
    "rubbish behind it": lambda raw, _: raw + b"x",
    "twice": lambda raw, _: raw + raw,
    "a byte order mark": lambda raw, _: b"\xef\xbb\xbf" + raw,
    "in UTF-16": lambda raw, _: raw.decode().encode("utf-16"),
    "in UTF-32": lambda raw, _: raw.decode().encode("utf-32"),
    "gzip, undeclared": lambda raw, _: gzip.compress(raw),
    "NUL behind it": lambda raw, _: raw + b"\0",
    "a comment before it": lambda raw, _: b"// order\n" + raw,
    "a form": lambda _, __: b"userId=ada&currency=EUR",
    "XML": lambda _, __: b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e "boom">]><order>&e;</order>',
    "random bytes": lambda _, random: b"\x80" + random.randbytes(200),
    "one bit flipped": lambda raw, _: bytes([raw[0] ^ 0x20]) + raw[1:],
}


def _of_whole(write: Write) -> Iterator[Maker]:
    for fault, headers in _OTHER_TYPES.items():
        yield _sent(write, fault, NOT_JSON, lambda raw, _: raw, headers)
    for fault, spoil in _BREAKERS.items():
        yield _sent(write, f"body {fault}", MALFORMED, spoil)
    yield _sent(write, "gzip bomb", NOT_JSON, lambda _, __: BOMB, (JSON, ("Content-Encoding", "gzip")))
    yield _sent(write, "deflate bomb", NOT_JSON, lambda _, __: BOMB, (JSON, ("Content-Encoding", "deflate")))
    yield _sent(write, "256 KiB and one byte", TOO_LARGE, lambda raw, _: raw + b" " * (MAX_BODY + 1 - len(raw)))
    yield _streamed(write, "256 KiB and one byte in chunks", TOO_LARGE, MAX_BODY + 1)
    yield _streamed(write, "1 MiB in chunks", TOO_LARGE, 1024 * 1024)
    yield _sent(write, "1 MiB", TOO_LARGE, lambda raw, _: raw + b" " * 1024 * 1024)
    for fault, raw in HOSTILE.items():
        yield _sent(write, fault, MALFORMED, _constant(raw))
    if write.body_required:
        yield _sent(write, "empty body", MALFORMED, lambda _, __: b"")
        yield _bodyless(write, "absent body", MALFORMED, (JSON,))
        yield _bodyless(write, "absent body and content type", NOT_JSON, ())


def _constant(raw: bytes) -> Callable[[bytes, Random], bytes]:
    return lambda _, __: raw


BOMB = gzip.compress(zlib.compress(b"0" * 50_000_000))
HOSTILE: dict[str, bytes] = {
    "100,000 open brackets": b"[" * 100_000,
    "100,000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "40,000 open objects": b'{"a":' * 40_000,
    "60,000 pairs of brackets and one too many": b"[" + b"[]," * 60_000 + b"]",
    "brackets of two kinds": b"[{]}" * 30_000,
    "an open string of 256 KiB": b'"' + b"a" * (MAX_BODY - 1),
    "only backslashes": b'"' + b"\\" * 200_001,
    "50,000 minus signs": b"-" * 50_000,
    "a number without an end and its rubbish": b"1" * 200_000 + b"x",
}


def _sent(
    write: Write,
    fault: str,
    status: tuple[int, str],
    spoil: Callable[[bytes, Random], bytes],
    headers: Headers = (JSON,),
) -> Maker:
    def make(random: Random, targets: Targets) -> Case:
        raw = spoil(encoded(body(write.name, random), random), random)
        data = http(write.method, target(write.name, targets), raw, headers)
        return Case(f"{write.name} {fault}", data, *status)

    return make


def _streamed(write: Write, fault: str, status: tuple[int, str], size: int) -> Maker:
    def make(random: Random, targets: Targets) -> Case:
        raw = json.dumps(body(write.name, random)).encode().ljust(size)
        pieces = [raw[at : at + 65_536] for at in range(0, size, 65_536)]
        return Case(f"{write.name} {fault}", chunked(write.method, target(write.name, targets), pieces), *status)

    return make


def _bodyless(write: Write, fault: str, status: tuple[int, str], headers: Headers) -> Maker:
    def make(_: Random, targets: Targets) -> Case:
        return Case(f"{write.name} {fault}", http(write.method, target(write.name, targets), None, headers), *status)

    return make
