"""The priority level that a request asks for, as the client wrote it."""

import re

import msgspec

from turnout.framework import REQUEST_BODY, CycleState, Headers, InferenceRequest
from turnout.plugins.priorities.levels import MAX_LEVEL_CHARACTERS

UNUSABLE = ""
"""Something was stated that can be no level."""

# A name of 64 characters, each written as two \uXXXX.
_MAX_RAW_BYTES = 12 * MAX_LEVEL_CHARACTERS + 2

_decode_value = msgspec.json.Decoder(str | int | None).decode


class StatedLevel:
    """Reads the level from a header, and from a top-level field of the JSON body where there is no header.

    An empty name means that the place is not read.

    Raises:
        ValueError: both names are empty, or that of the field has quotes, backslashes or control characters.
    """

    def __init__(self, header: str, body_field: str) -> None:
        if not header and not body_field:
            raise ValueError("header and body_field must not both be empty")
        self._header = header.strip().lower()
        self._decoder = _decoder_of(body_field) if body_field else None

    def of(self, request: InferenceRequest, state: CycleState) -> str | int | None:
        """A name, a priority, None if nothing is stated, or ``UNUSABLE``.

        A header that comes with different values is unusable, and so are a text of more than 64 characters and a body
        field that is neither text nor a whole number.
        """
        stated = _in_headers(request.headers, self._header)
        if stated is None and self._decoder is not None:
            return _in_body(self._decoder, state.get(REQUEST_BODY))
        return stated


def _decoder_of(field: str) -> msgspec.json.Decoder[msgspec.Struct]:
    if re.search(r'["\\\x00-\x1f]', field):
        raise ValueError(f"body_field must have no quotes, backslashes or control characters, got {field!r}")
    stated = ("stated", msgspec.Raw, msgspec.Raw(b""))
    return msgspec.json.Decoder(msgspec.defstruct("_Body", [stated], rename={"stated": field}))


def _in_headers(headers: Headers, name: str) -> str | None:
    values = headers.all(name)
    if len(set(values)) > 1:
        return UNUSABLE
    return _text(values[0]) if values else None


def _in_body(decoder: msgspec.json.Decoder[msgspec.Struct], body: bytes | None) -> str | int | None:
    if not body:
        return None
    try:
        raw = bytes(getattr(decoder.decode(body), "stated"))  # noqa: B009 - the field is known at run time only
    except (msgspec.MsgspecError, RecursionError):
        # Not a JSON object: no field of ours. The parser of the path judges the body.
        return None
    if not raw or len(raw) > _MAX_RAW_BYTES:
        return UNUSABLE if raw else None
    try:
        value = _decode_value(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return UNUSABLE
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str | None:
    return value or None if len(value) <= MAX_LEVEL_CHARACTERS else UNUSABLE
