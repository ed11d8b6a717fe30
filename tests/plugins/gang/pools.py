"""Pools of prefill and decode endpoints, and the life of a request for a gang, step by step."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from plugins.generated import ended
from plugins.queued import queued
from turnout.framework import (
    Endpoint,
    Named,
    QueuedRequest,
    Refusal,
    RefusalKind,
    Scheduler,
    SchedulerProfile,
    SchedulingResult,
    WeightedScorer,
)
from turnout.framework.testing import make_endpoint
from turnout.plugins.gang.handler import GangProfileHandler
from turnout.plugins.gang.members import Member
from turnout.plugins.pickers import MaxScorePicker
from turnout.plugins.queue_depth import QueueScorer

PREFILL = Member("prefill", match_labels={"role": "p"})
DECODE = Member("decode", match_labels={"role": "d"})
REFUSED = Refusal(RefusalKind.UNAVAILABLE, "the client left")


def endpoint(name: str, waiting: int = 0) -> Endpoint:
    """``p1`` is a prefill endpoint and ``d1`` a decode endpoint, both of revision 1."""
    return make_endpoint(name, waiting=waiting, labels={"role": name[0], "rev": name[1]})


def endpoints(*names: str) -> list[Endpoint]:
    return [endpoint(name) for name in names]


def asking(answers: int = 1, request_id: str = "r") -> QueuedRequest:
    item = queued(request_id)
    return replace(item, request=replace(item.request, answers=answers))


def scheduler_of(handler: GangProfileHandler) -> Scheduler:
    """Profiles that prefer short queues."""
    scorer = WeightedScorer(Named(QueueScorer()))
    profiles = [SchedulerProfile(name, Named(MaxScorePicker(seed=0)), (), (scorer,)) for name in handler.profile_names]
    return Scheduler(profiles, handler)


def let_go(handler: GangProfileHandler, item: QueuedRequest, pool: Sequence[Endpoint], now: float) -> bool:
    """Whether the request's turn came."""
    fits = handler.fits(item, pool, now)
    if fits:
        handler.request_dispatched(item, 0, now)
    return fits


def scheduled(
    handler: GangProfileHandler, item: QueuedRequest, pool: Sequence[Endpoint], now: float
) -> SchedulingResult:
    return scheduler_of(handler).schedule(item.request, item.state, pool, now)


def sent(handler: GangProfileHandler, item: QueuedRequest, pool: Sequence[Endpoint], now: float = 0.0) -> list[str]:
    """Who was picked, in the order of the members."""
    result = scheduled(handler, item, pool, now)
    handler.pre_request(item.request, item.state, result)
    return names_of(handler, result)


def end(handler: GangProfileHandler, item: QueuedRequest, pool: Sequence[Endpoint]) -> None:
    handler.response_complete(item.request, item.state, ended(pool[0]))


def refuse(handler: GangProfileHandler, item: QueuedRequest) -> None:
    handler.request_refused(item.request, item.state, REFUSED)


def names_of(handler: GangProfileHandler, result: SchedulingResult) -> list[str]:
    return short(one.name for profile in handler.profile_names for one in result.profiles[profile].picked)


def short(names: Iterable[str]) -> list[str]:
    return [name.removeprefix("default/") for name in names]
