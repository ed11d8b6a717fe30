"""Logs of the process: their setup, and one line for each refused request.

A line never holds a prompt, a header or a body. Text that clients send is cut and escaped, so that it can
neither forge a line nor fill the disk.
"""

import json
import logging
import math
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO, TypeAlias

from turnout.epp.observe.labels import printable
from turnout.epp.requests.statuses import http_status
from turnout.framework import Completion, Endpoint, InferenceRequest, PluginError, Refusal

LogFormat: TypeAlias = Literal["json", "text"]

DEFAULT_VERBOSITY = 2
MAX_MESSAGE = 4096
MAX_FIELD = 512
MAX_TRACEBACK = 16_384
FAILURE_LINE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def configure_logging(log_format: LogFormat = "text", verbosity: int = DEFAULT_VERBOSITY) -> None:
    """Sends every log line of the process to standard error, replacing an earlier setup.

    ``verbosity`` counts as in Go programs: 0 and 1 show warnings and errors, 2 and 3 also information, 4 and
    above also debugging. Libraries stay at warnings below 5.
    """
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.addHandler(log_handler(log_format, sys.stderr))
    root.setLevel(logging.DEBUG if verbosity >= 5 else logging.WARNING)
    logging.getLogger("turnout").setLevel(level_of(verbosity))


def level_of(verbosity: int) -> int:
    """The logging level that shows what a Go-style verbosity asks for."""
    if verbosity >= 4:
        return logging.DEBUG
    return logging.INFO if verbosity >= 2 else logging.WARNING


def log_handler(log_format: LogFormat, stream: TextIO) -> logging.Handler:
    """A handler that writes lines of the format to the stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if log_format == "json" else PlainLines())
    return handler


class JsonLines(logging.Formatter):
    """One JSON object a line, ASCII only: ``ts``, ``level``, ``logger``, ``msg``, the fields, ``error``.

    Fields come from ``extra={"fields": {...}}``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        document: dict[str, object] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": _message(record),
            **_fields(record),
        }
        error = _traceback(record)
        if error:
            document["error"] = error
        return json.dumps(document, default=str)


class PlainLines(logging.Formatter):
    """``time level logger: message field=value ...``; a traceback follows on indented lines."""

    def format(self, record: logging.LogRecord) -> str:
        """The line or lines."""
        pairs = (f" {name}={json.dumps(value, default=str)}" for name, value in _fields(record).items())
        head = f"{_timestamp(record)} {record.levelname} {record.name}: {_escaped(_message(record))}{''.join(pairs)}"
        # Every further line is indented, so that text inside an exception cannot look like a line of its own.
        return "\n    ".join([head, *map(_escaped, _traceback(record).splitlines())])


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    return record.getMessage()[:MAX_MESSAGE]


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields = record.__dict__.get("fields")  # logging's own way of passing ``extra``
    if not isinstance(fields, Mapping):
        return {}
    return {
        str(name): printable(value, MAX_FIELD) if isinstance(value, str) else value for name, value in fields.items()
    }


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return "".join(traceback.format_exception(record.exc_info[1]))[-MAX_TRACEBACK:]


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class RefusalLog:
    """A ``RequestObserver`` that writes one line for each refused request and for each failure of a plugin.

    What a plugin raised may quote the prompt, so a failure's line has its type and place; the text and the
    traceback are for verbosity 4. Of failures that are no request's, such as those of a policy that is asked hundreds
    of times a second, each plugin and extension point gets a line a second, with how many were left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By plugin and extension point, so bounded by the configuration: when it had a line, and failures since.
        self._failures: dict[tuple[str, str], tuple[float, int]] = {}

    def scheduled(self, request: InferenceRequest, endpoint: Endpoint, seconds: float) -> None:
        """Not logged."""

    def scheduling_failed(self, request: InferenceRequest, seconds: float) -> None:
        """Not logged; the refusal is."""

    def plugin_ran(self, plugin: str, plugin_type: str, extension_point: str, seconds: float) -> None:
        """Not logged."""

    def dispatched(self, request: InferenceRequest, endpoint: Endpoint, processing_seconds: float) -> None:
        """Not logged."""

    def refused(self, request_id: str, model: str, refusal: Refusal) -> None:
        """A line with request id, model, status and reason; a warning if the fault is not the client's."""
        status = http_status(refusal)
        fields = {
            "request_id": request_id,
            "model": model,
            "status": status,
            "code": refusal.kind.value,
            "reason": refusal.message,
            "dropped_reason": refusal.dropped_reason,
        }
        _log.log(logging.WARNING if status >= 500 else logging.INFO, "request refused", extra={"fields": fields})

    def plugin_failed(self, request_id: str, error: PluginError) -> None:
        """A line with the plugin, its extension point and what it raised where."""
        left_out = 0 if request_id else self._left_out(error)
        if left_out is None:
            return
        fields: dict[str, object] = {
            "request_id": request_id,
            "plugin": error.plugin,
            "extension_point": error.extension_point.value,
            **_what_happened(error),
        }
        if left_out:
            fields["left_out"] = left_out
        _log.error("plugin failed", extra={"fields": fields})
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("plugin failed, in full", extra={"fields": fields}, exc_info=error)

    def _left_out(self, error: PluginError) -> int | None:
        """How many failures had no line since the last one; None when this one gets none."""
        key, now = (error.plugin, error.extension_point.value), self._clock()
        last, count = self._failures.get(key, (-math.inf, 0))
        if now - last < FAILURE_LINE_SECONDS:
            self._failures[key] = (last, count + 1)
            return None
        self._failures[key] = (now, 0)
        return count

    def streamed(self, request: InferenceRequest, gap_seconds: float) -> None:
        """Not logged."""

    def finished(self, request: InferenceRequest, completion: Completion) -> None:
        """Not logged."""


def _what_happened(error: PluginError) -> dict[str, str]:
    cause = error.__cause__
    if cause is None:
        return {"problem": error.problem}  # the framework's own words
    frames = traceback.extract_tb(cause.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return {"raised": type(cause).__name__, "at": place}
