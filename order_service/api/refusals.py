"""Refusals of the edge: what is wrong with a request before any rule is asked."""

from __future__ import annotations

from typing import NamedTuple

from order_service.core.errors import Refusal


class Fault(NamedTuple):
    """One thing wrong with a request: where (RFC 6901 pointer into the body, or ``?name`` of a query), and what."""

    pointer: str
    detail: str


class ValidationFailed(Refusal):
    """The body or a parameter is not of the shape asked for; every fault is listed."""

    code = "validation-failed"
    title = "Validation failed"
    status = 422

    MOST = 2_000
    """Faults listed at most, which is more than a full order can have of one kind per line."""

    def __init__(self, faults: list[Fault]) -> None:
        assert faults, "a refusal without a fault helps nobody"
        count = len(faults)
        told = f"{count} faults were found" if count > 1 else "One fault was found"
        more = f"; the first {self.MOST} are listed" if count > self.MOST else ""
        super().__init__(
            f"{told}{more}. Nothing was done.",
            errors=[{"pointer": f.pointer, "detail": f.detail} for f in faults[: self.MOST]],
        )


class MalformedJson(Refusal):
    """The body is not a JSON text (RFC 8259) in UTF-8, or it is nested too deeply."""

    code = "malformed-json"
    title = "Malformed JSON"
    status = 400


class MalformedRequest(Refusal):
    """The request is not HTTP as it should be."""

    code = "malformed-request"
    title = "Malformed request"
    status = 400

    def __init__(self, detail: str = "This is not an HTTP/1.1 request that can be understood.") -> None:
        super().__init__(detail)


class InvalidIdempotencyKey(Refusal):
    """The Idempotency-Key header cannot be a key."""

    code = "invalid-idempotency-key"
    title = "Invalid Idempotency-Key"
    status = 400

    def __init__(self) -> None:
        super().__init__("An Idempotency-Key is one header of 1 to 255 visible ASCII characters.")


class InvalidIfMatch(Refusal):
    """The If-Match header names no version."""

    code = "invalid-if-match"
    title = "Invalid If-Match"
    status = 400

    def __init__(self) -> None:
        super().__init__('If-Match is the ETag of one version, such as "3", or *.')


class BodyTooLarge(Refusal):
    """The body is longer than any request needs."""

    code = "body-too-large"
    title = "Body too large"
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"A body may have at most {limit} bytes.", limit=limit)


class UnsupportedMediaType(Refusal):
    """The body is not declared as plain JSON."""

    code = "unsupported-media-type"
    title = "Unsupported media type"
    status = 415


class RequestTimeout(Refusal):
    """The request did not arrive in time."""

    code = "request-timeout"
    title = "Request timeout"
    status = 408

    def __init__(self) -> None:
        super().__init__("The request did not arrive completely in time; the connection is closed.")


class HeadersTooLarge(Refusal):
    """Request line and headers together are too long."""

    code = "headers-too-large"
    title = "Headers too large"
    status = 431

    def __init__(self, limit: int) -> None:
        super().__init__(f"Request line and headers may have at most {limit} bytes.", limit=limit)


class NotFound(Refusal):
    """No resource has this path."""

    code = "not-found"
    title = "Not found"
    status = 404

    def __init__(self) -> None:
        super().__init__("There is nothing at this path; paths are exact, without doubled or trailing slashes.")


class MethodNotAllowed(Refusal):
    """The path exists, but not with this method."""

    code = "method-not-allowed"
    title = "Method not allowed"
    status = 405

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(f"This path allows {', '.join(allowed)}.", allowed=allowed)
        self.allowed = allowed


class Unauthorized(Refusal):
    """The request carries no credentials, or none that are believed."""

    code = "unauthorized"
    title = "Unauthorized"
    status = 401

    def __init__(self) -> None:
        super().__init__("Send valid credentials with this request.")


class NotReady(Refusal):
    """The service starts, or drains before it stops."""

    code = "not-ready"
    title = "Not ready"
    status = 503
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("The service is starting or stopping; use another replica.")


class Unhealthy(Refusal):
    """The database is away, and nothing works without it."""

    code = "unhealthy"
    title = "Unhealthy"
    status = 503
    retry_after_s = 2

    def __init__(self, checks: dict[str, object]) -> None:
        super().__init__("The database is away.", checks=checks)


class InternalError(Refusal):
    """Something of ours broke; the log has it under the correlation id."""

    code = "internal-error"
    title = "Internal error"
    status = 500

    def __init__(self) -> None:
        super().__init__("Something went wrong on our side. The correlation id finds it in the log.")
