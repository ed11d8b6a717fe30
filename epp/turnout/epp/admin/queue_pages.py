"""The page about what waits, and the one change that can be made there."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from turnout.epp.admin.answers import error_answer, finite, json_answer
from turnout.epp.flowcontrol.status import PriorityStatus, QueueStatus
from turnout.epp.observe.labels import printable

HIGHEST_PRIORITY = 1_000_000
_LONGEST_NUMBER = 8


@dataclass(frozen=True, slots=True)
class QueueSources:
    """``status`` gives None while nobody waits because flow control is off.

    ``reprioritise`` gives a queued request another priority and returns why not, or an empty string; None where changes
    are not allowed.
    """

    status: Callable[[], QueueStatus | None]
    reprioritise: Callable[[str, int], str] | None = None


def add_queue_pages(app: web.Application, sources: QueueSources) -> None:
    """Adds ``GET /queue`` and, where changes are allowed, ``PUT /queue/REQUEST-ID?priority=N``.

    A page of another site cannot make a browser send a PUT here: that takes a permission that is never given.
    """
    pages = _Pages(sources)
    app.add_routes([web.get("/queue", pages.queue), web.put("/queue/{request_id:.+}", pages.change)])


class _Pages:
    def __init__(self, sources: QueueSources) -> None:
        self._sources = sources

    async def queue(self, request: web.Request) -> web.Response:
        status = self._sources.status()
        if status is None:
            return json_answer({"enabled": False})
        return json_answer(_shown(status))

    async def change(self, request: web.Request) -> web.Response:
        if self._sources.reprioritise is None:
            return error_answer(403, "changes of the queue are not allowed; --allow-queue-changes allows them")
        stated = request.query.get("priority", "")
        priority = _priority(stated)
        if priority is None:
            limit = HIGHEST_PRIORITY
            return error_answer(400, f"priority must be from {-limit} to {limit}, not {printable(stated, 32)!r}")
        request_id = request.match_info["request_id"]
        problem = self._sources.reprioritise(request_id, priority)
        if problem:
            return error_answer(409, f"request {printable(request_id)!r}: {problem}")
        return json_answer({"request_id": printable(request_id), "priority": priority})


def _priority(stated: str) -> int | None:
    digits = stated.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_NUMBER):
        return None
    priority = int(stated)
    return priority if abs(priority) <= HIGHEST_PRIORITY else None


def _shown(status: QueueStatus) -> dict[str, object]:
    wait = status.expected_wait_seconds
    return {
        "enabled": True,
        "queued": status.queued,
        "deferred": status.deferred,
        "bytes": status.size_bytes,
        "saturation": finite(status.saturation),
        "strategy": status.strategy,
        "expected_wait_seconds": None if wait is None else finite(wait),
        "bands": [_band(each) for each in status.priorities],
    }


def _band(status: PriorityStatus) -> dict[str, object]:
    return {
        "priority": status.priority,
        "level": ", ".join(printable(level, 64) for level in status.levels),
        "queued": status.queued,
        "deferred": status.deferred,
        "bytes": status.size_bytes,
        "oldest_seconds": status.oldest_seconds,
        "max_requests": status.max_requests,
        "flows": status.flows,
    }
