"""Refusals: outcomes in which a request is answered without an endpoint."""

from dataclasses import dataclass
from enum import StrEnum


class RefusalKind(StrEnum):
    """What a refusal means; the HTTP status of each is the Endpoint Picker's affair."""

    BAD_REQUEST = "BadRequest"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    NOT_FOUND = "NotFound"
    PRECONDITION_FAILED = "PreconditionFailed"
    TOO_LARGE = "PayloadTooLarge"
    RESOURCE_EXHAUSTED = "ResourceExhausted"
    INTERNAL = "Internal"
    UNAVAILABLE = "ServiceUnavailable"


CLIENT_LEFT = "rejected-context-cancelled"
"""The dropped reason of a request whose client went away while it waited."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served: kind, a sentence for the client, and the dropped-reason header's value."""

    kind: RefusalKind
    message: str
    dropped_reason: str = ""
    retry_after_seconds: float | None = None
