"""JSON answers of the pages."""

import json
import math
from collections.abc import Mapping

from aiohttp import web


def json_answer(document: Mapping[str, object], status: int = 200) -> web.Response:
    """The document, indented for people."""
    return web.Response(body=_encoded(document) + b"\n", status=status, content_type="application/json")


def error_answer(status: int, message: str) -> web.Response:
    """What is wrong, in a sentence."""
    return json_answer({"error": message}, status)


def finite(value: float) -> float | None:
    """The number if JSON has it, else None."""
    return value if math.isfinite(value) else None


def _encoded(document: Mapping[str, object]) -> bytes:
    # The standard library escapes lone surrogates, which msgspec refuses.
    return json.dumps(document, indent=2).encode()
