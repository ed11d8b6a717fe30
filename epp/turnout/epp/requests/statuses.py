"""The one table of HTTP statuses, and the body that a refused client gets."""

import msgspec

from turnout.epp.wire_names import DROPPED_REASON
from turnout.framework import Refusal, RefusalKind

HTTP_STATUS: dict[RefusalKind, int] = {
    RefusalKind.BAD_REQUEST: 400,
    RefusalKind.UNAUTHORIZED: 401,
    RefusalKind.FORBIDDEN: 403,
    RefusalKind.NOT_FOUND: 404,
    RefusalKind.PRECONDITION_FAILED: 412,
    RefusalKind.TOO_LARGE: 413,
    RefusalKind.RESOURCE_EXHAUSTED: 429,
    RefusalKind.INTERNAL: 500,
    RefusalKind.UNAVAILABLE: 503,
}

# The `type` that OpenAI's API gives errors of each status; clients branch on it.
_OPENAI_TYPE: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def too_large(limit_bytes: int) -> Refusal:
    """The refusal of a request body over the cap."""
    return Refusal(RefusalKind.TOO_LARGE, f"the request body is larger than {limit_bytes} bytes")


def http_status(refusal: Refusal) -> int:
    """The status that the client gets."""
    return HTTP_STATUS[refusal.kind]


def error_body(refusal: Refusal) -> bytes:
    """An OpenAI-style JSON error document."""
    status = http_status(refusal)
    error_type = _OPENAI_TYPE.get(status, "invalid_request_error" if status < 500 else "server_error")
    message = f"inference error: {refusal.kind} - {refusal.message}"
    # It may quote a header that was not UTF-8, and a lone surrogate cannot be encoded.
    message = message.encode(errors="replace").decode()
    error = {"message": message, "type": error_type, "param": None, "code": refusal.dropped_reason or None}
    return msgspec.json.encode({"error": error})


def response_headers(refusal: Refusal) -> dict[str, str]:
    """Headers of the immediate response."""
    headers = {"content-type": "application/json"}
    if refusal.dropped_reason:
        headers[DROPPED_REASON] = refusal.dropped_reason
    if refusal.retry_after_seconds is not None:
        headers["retry-after"] = str(max(1, round(refusal.retry_after_seconds)))
    return headers
