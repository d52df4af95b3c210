"""Random bytes for ids: each handed out once, by whatever thread or process."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from order_service.randomness import random16, random_uuid


def test_no_sixteen_bytes_come_twice_in_any_thread() -> None:
    with ThreadPoolExecutor(8) as threads:
        drawn = [
            value for many in threads.map(lambda _: [random16() for _ in range(1_000)], range(16)) for value in many
        ]
    assert {len(value) for value in drawn} == {16}
    assert len(set(drawn)) == 16_000


def test_a_forked_process_draws_others_than_its_parent() -> None:
    random16()  # from now on some are left, which the child inherits
    end, other = os.pipe()
    child = os.fork()
    if not child:
        os.write(other, b"".join(random16() for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(other)
    with os.fdopen(end, "rb") as told:
        theirs = told.read()
    assert len(theirs) == 1_600
    ours = {random16() for _ in range(1_000)}
    assert ours.isdisjoint(theirs[at : at + 16] for at in range(0, len(theirs), 16))


def test_a_uuid_is_of_version_4_and_its_text_is_canonical() -> None:
    for _ in range(1_000):
        text = random_uuid()
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
        assert (UUID(text).version, UUID(text).variant, str(UUID(text))) == (4, "specified in RFC 4122", text)
