"""From a path to what serves it: a tree of segments, in which a literal goes before a parameter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from order_service.api.answers import Answer
from order_service.api.exchange import Exchange
from order_service.api.operations import Operation

Route = Callable[[Exchange], Awaitable[Answer]]


class Endpoint(NamedTuple):
    """An operation and what serves it."""

    operation: Operation
    serve: Route


class _Node:
    __slots__ = ("endpoints", "literals", "name", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.name = ""
        self.endpoints: dict[str, Endpoint] = {}


class Router:
    """Endpoints by path and method; two paths that differ in the name of a parameter only are one."""

    def __init__(self) -> None:
        self._root = _Node()
        self.operations: list[Operation] = []
        """All that is served."""

    def add(self, operation: Operation, serve: Route) -> None:
        """Serve this operation."""
        node = self._root
        for segment in operation.path.split("/")[1:]:
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                assert node.name in ("", segment[1:-1]), "a parameter has one name"
                node.name = segment[1:-1]
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        assert operation.method not in node.endpoints, "one operation for a path and method"
        node.endpoints[operation.method] = Endpoint(operation, serve)
        self.operations.append(operation)

    def find(self, path: str) -> tuple[dict[str, Endpoint], dict[str, str]]:
        """What is at this decoded path, by method, and its parameters; nothing, where there is nothing."""
        node, params = self._root, {}
        for segment in path.split("/")[1:]:
            found = node.literals.get(segment)
            if found is None:
                found = node.parameter
                if found is None:
                    return {}, {}
                params[node.name] = segment
            node = found
        return node.endpoints, params


def allowed(endpoints: dict[str, Endpoint]) -> list[str]:
    """The methods of a path; HEAD goes where GET goes, OPTIONS everywhere."""
    return sorted({*endpoints, "OPTIONS", *(["HEAD"] if "GET" in endpoints else [])})
