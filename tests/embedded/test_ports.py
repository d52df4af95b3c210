"""Free ports: who was given one may take a while to listen there."""

from __future__ import annotations

from order_service.embedded.ports import free_port, is_free


def test_a_port_is_given_to_one_only_although_nobody_listens_yet() -> None:
    given = [free_port() for _ in range(500)]
    assert len(set(given)) == 500
    assert all(is_free(port) for port in given[-5:])


def test_a_port_that_is_wished_for_is_given_again() -> None:
    wished = free_port()
    assert free_port(wished) == wished
    assert free_port(wished, avoid=frozenset({wished})) != wished
