"""On virtual time: the loop's clock jumps to the next timer whenever nothing is ready."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import wraps
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from epp.flowcontrol.fakes import Aging, Alphabet, Broken, Ceilings, InFlight, Windows, band, request, settings
from epp.flowcontrol.pool import Pool
from turnout.config import LaneSettings
from turnout.epp.flowcontrol.outcomes import over_capacity
from turnout.epp.requests.admission import Admission
from turnout.epp.simulator.replay.virtual_time import run_virtually
from turnout.framework import (
    NEVER,
    Deferral,
    Headers,
    Named,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    RefusalKind,
    WaitRecord,
)

NO_TTL = {"default_request_ttl": None, "no_endpoint_request_ttl": None}


def virtual(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Runs a coroutine on virtual time."""

    @wraps(test)
    def run(*arguments: object, **named: object) -> None:
        run_virtually(test(*arguments, **named))

    return run


@virtual
async def test_a_request_goes_on_at_once_while_there_is_room() -> None:
    pool = Pool()
    admitted = await pool.ask(request("r"))
    assert isinstance(admitted, Admission)
    assert pool.heard.outcomes == ["r Dispatched 0.0"]


@virtual
async def test_requests_wait_for_room_and_go_by_priority() -> None:
    pool = Pool()
    tasks = [pool.send(name, priority) for name, priority in (("1", 0), ("2", -1), ("3", 5), ("4", 0))]
    assert await asyncio.gather(*tasks) == ["served"] * 4
    assert pool.done == ["1", "3", "4", "2"]
    assert pool.heard.outcomes[1:] == ["3 Dispatched 10.0", "4 Dispatched 20.0", "2 Dispatched 30.0"]
    assert pool.heard.queued == 0


@virtual
async def test_what_is_on_its_way_counts_before_it_is_sent() -> None:
    pool = Pool(["a", "b"])
    first, second = await pool.ask(request("1")), await pool.ask(request("2"))
    assert isinstance(first, Admission)
    assert isinstance(second, Admission)
    third = asyncio.ensure_future(pool.ask(request("3")))
    await asyncio.sleep(1.0)
    assert not third.done()
    first.settled()
    first.settled()
    await asyncio.sleep(0.1)
    assert third.done()


@virtual
async def test_a_client_that_leaves_takes_its_request_along_at_once() -> None:
    pool = Pool(made=settings(bands=MappingProxyType({0: band(max_requests=1)})))
    pool.load("a", 1)
    leaving = pool.send("leaves")
    await asyncio.sleep(1.0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    assert pool.flow.controller.length == 0
    assert pool.heard.outcomes == ["leaves EvictedContextCancelled 1.0"]
    following = pool.send("comes")
    pool.load("a", -1)
    assert await following == "served"


@virtual
async def test_a_client_that_leaves_in_the_moment_of_its_turn_leaves_nothing_pending() -> None:
    pool = Pool()
    pool.load("a", 1)
    leaving = pool.send("leaves")
    await asyncio.sleep(0.5)
    pool.heard.on_left = leaving.cancel
    pool.load("a", -1)
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    assert pool.heard.outcomes == ["leaves Dispatched 0.5"]
    assert await pool.send("comes", seconds=0.0) == "served"


@pytest.mark.parametrize(
    ("headers", "waited", "reason"),
    [
        pytest.param([], 60.0, "rejected-ttl-expired", id="the time to live"),
        pytest.param([("x-turnout-queue-timeout-ms", "2500")], 2.5, "rejected-ttl-expired", id="the client's patience"),
        pytest.param([("x-turnout-queue-timeout-ms", "0")], 0.0, "rejected-ttl-expired", id="none left"),
        pytest.param([("x-turnout-queue-timeout-ms", "-5")], 0.0, "rejected-ttl-expired", id="a deadline in the past"),
        pytest.param([("x-turnout-queue-timeout-ms", "1e300")], 60.0, "rejected-ttl-expired", id="endless patience"),
        pytest.param([("x-turnout-queue-timeout-ms", "nan")], 0.0, "", id="not a number"),
        pytest.param([("x-turnout-queue-timeout-ms", "soon")], 0.0, "", id="no number"),
    ],
)
@virtual
async def test_nobody_waits_past_the_deadline(headers: list[tuple[str, str]], waited: float, reason: str) -> None:
    pool = Pool()
    pool.load("a", 1)
    begun = pool.loop.time()
    refused = await pool.ask(request("r", headers=Headers(headers), received_at=begun))
    assert isinstance(refused, Refusal)
    assert refused.dropped_reason == reason
    assert refused.kind is (RefusalKind.RESOURCE_EXHAUSTED if reason else RefusalKind.BAD_REQUEST)
    assert pool.loop.time() - begun == pytest.approx(waited)


@virtual
async def test_the_pool_empties_and_comes_back() -> None:
    pool = Pool(made=settings(no_endpoint_request_ttl=timedelta(seconds=5)))
    pool.load("a", 1)
    waiting = pool.send("r")
    await asyncio.sleep(1.0)
    pool.remove("a")
    await asyncio.sleep(4.0)
    pool.add("b")
    assert await waiting == "served"


@virtual
async def test_without_endpoints_a_request_is_given_up_after_its_own_time_to_live() -> None:
    pool = Pool([], settings(no_endpoint_request_ttl=timedelta(seconds=5)))
    begun = pool.loop.time()
    refused = await pool.ask(request("r"))
    assert isinstance(refused, Refusal)
    assert (refused.kind, refused.dropped_reason) == (RefusalKind.UNAVAILABLE, "rejected-no-endpoints")
    assert pool.loop.time() - begun == pytest.approx(5.0)
    assert pool.heard.outcomes == ["r EvictedNoEndpoints 5.0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"max_requests": 1}, "maxRequests is 1", id="requests in all"),
        pytest.param({"max_bytes": 25}, "maxBytes is 25", id="bytes in all"),
        pytest.param(
            {"bands": MappingProxyType({0: band(max_requests=1)})},
            "maxRequests of priority 0 is 1",
            id="requests of a priority",
        ),
        pytest.param({"default_band": band(max_bytes=25)}, "maxBytes of priority 0 is 25", id="bytes of a priority"),
    ],
)
@virtual
async def test_a_full_queue_refuses_and_says_which_limit(changes: dict[str, object], message: str) -> None:
    pool = Pool(made=settings(**changes))
    pool.load("a", 1)
    first = pool.send("1", size=20)
    await asyncio.sleep(0)
    assert await pool.ask(request("2", size=20)) == over_capacity(message)
    assert pool.heard.outcomes == ["2 RejectedCapacity 0.0"]
    pool.remove("a")
    refused = await pool.ask(request("3", size=20))
    assert isinstance(refused, Refusal)
    assert (refused.kind, refused.message) == (RefusalKind.UNAVAILABLE, f"no endpoints available: {message}")
    first.cancel()
    await asyncio.wait([first])


@dataclass
class Bouncer:
    """Refuses what would have to wait long; remembers what it was told."""

    told: QueueOutlook | None = None
    deadline: float = NEVER
    asked: int = 0

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        self.told = outlook
        self.deadline = item.deadline
        self.asked += 1
        if (outlook.expected_wait or 0.0) > 15.0:
            return Refusal(RefusalKind.RESOURCE_EXHAUSTED, "come back later", "rejected-saturated", 15.0)
        return None


@virtual
async def test_an_entry_policy_is_asked_only_of_what_would_wait_and_knows_how_long() -> None:
    bouncer = Bouncer()
    pool = Pool(made=settings(entry_policies=(Named(bouncer, "bouncer"),), max_requests=100))
    tasks = [pool.send("0")]
    await asyncio.sleep(0)
    assert not bouncer.asked
    tasks += [pool.send(str(number)) for number in range(1, 5)]
    await asyncio.sleep(21.0)
    refused = await pool.ask(request("late"))
    assert isinstance(refused, Refusal)
    assert refused.message == "come back later"
    told: QueueOutlook | None = bouncer.told
    assert told is not None
    assert told.ahead == 2
    assert told.expected_wait == pytest.approx(3 * 11.0, rel=0.01)
    assert (told.fill, told.saturation) == (0.03, 1.0)
    assert pool.flow.expected_wait() == pytest.approx(3 * 11.0, rel=0.01)
    assert await asyncio.gather(*tasks) == ["served"] * 5


@virtual
async def test_a_level_that_higher_ones_leave_nothing_is_told_a_long_wait_and_they_a_short_one() -> None:
    bouncer = Bouncer()
    pool = Pool(made=settings(entry_policies=(Named(bouncer, "bouncer"),)))
    tasks = []
    for number in range(20):
        tasks += [pool.send(f"high {number}", 5, seconds=1.0) for _ in range(1 + (number == 0))]
        await asyncio.sleep(1.0)
    # One a second comes and one a second goes, so none of the twenty seconds was for a low one.
    refused = await pool.ask(request("low"))
    assert isinstance(refused, Refusal)
    told: QueueOutlook | None = bouncer.told
    assert told is not None
    assert told.expected_wait is not None
    assert told.expected_wait > 15.0
    waiting = asyncio.ensure_future(pool.ask(request("high", 5)))
    await asyncio.sleep(0)
    told = bouncer.told
    assert told is not None
    assert told.expected_wait == pytest.approx(told.ahead + 1, rel=0.1)
    waiting.cancel()
    assert await asyncio.gather(*tasks) == ["served"] * 21


@virtual
async def test_no_longer_wait_is_expected_than_until_the_request_is_overdue_and_has_had_its_turn() -> None:
    bouncer = Bouncer()
    aging = Aging(step=100.0, max_wait=4.0)
    pool = Pool(made=settings(ordering=aging, entry_policies=(Named(bouncer, "bouncer"),)))
    tasks = []
    for number in range(20):
        tasks += [pool.send(f"high {number}", 5, seconds=1.0) for _ in range(1 + (number == 0))]
        await asyncio.sleep(1.0)
    low = pool.send("low", seconds=1.0)
    await asyncio.sleep(0)
    told: QueueOutlook | None = bouncer.told
    assert told is not None
    assert told.expected_wait == pytest.approx(4.0 + pool.flow.controller.length, rel=0.1)
    assert await low == "served"
    assert await asyncio.gather(*tasks) == ["served"] * 21


@virtual
async def test_an_entry_policy_sees_the_deadline_that_holds() -> None:
    bouncer = Bouncer()
    pool = Pool(made=settings(entry_policies=(Named(bouncer, "bouncer"),)))
    pool.load("a", 1)
    started = pool.loop.time()
    for headers, seconds in (([], 60.0), ([("x-turnout-queue-timeout-ms", "2000")], 2.0)):
        asked = pool.ask(request("r", received_at=started, headers=Headers(headers)))
        waiting = asyncio.ensure_future(asked)
        await asyncio.sleep(0)
        assert bouncer.deadline == pytest.approx(started + seconds)
        waiting.cancel()


@virtual
async def test_a_reload_keeps_the_pace_of_what_waits_and_counts_it_in_its_new_lane() -> None:
    pool = Pool()
    tasks = [pool.send(str(number)) for number in range(4)]
    await asyncio.sleep(21.0)
    before = pool.flow.expected_wait()
    pool.flow.configure(settings(fairness=Alphabet()))
    assert pool.flow.expected_wait() == before == pytest.approx(2 * 11.0, rel=0.01)
    assert await asyncio.gather(*tasks) == ["served"] * 4
    assert pool.flow.expected_wait() is None


@virtual
async def test_closing_refuses_what_waits_and_what_comes() -> None:
    pool = Pool()
    pool.load("a", 1)
    waiting = pool.send("1")
    await asyncio.sleep(0)
    pool.flow.close()
    assert await waiting == "rejected-shutting-down"
    assert await pool.send("2") == "rejected-shutting-down"


@virtual
async def test_a_reload_keeps_what_waits_under_the_new_settings() -> None:
    pool = Pool()
    pool.load("a", 1)
    tasks = [pool.send(name, flow=name, seconds=1.0) for name in "zab"]
    await asyncio.sleep(0.1)
    pool.flow.configure(settings(fairness=Alphabet(), detector=Named(InFlight(limit=2), "detector")))
    assert await asyncio.gather(*tasks) == ["served"] * 3
    assert pool.done == ["a", "b", "z"]


@virtual
async def test_when_flow_control_is_switched_off_everything_goes_on() -> None:
    pool = Pool()
    pool.load("a", 1)
    tasks = [pool.send(str(number), seconds=0.0) for number in range(3)]
    await asyncio.sleep(0)
    pool.flow.let_all_go()
    assert await asyncio.gather(*tasks) == ["served"] * 3


@virtual
async def test_a_queued_request_gets_another_priority() -> None:
    pool = Pool()
    pool.load("a", 1)
    tasks = [pool.send(name, seconds=1.0) for name in ("1", "2")]
    await asyncio.sleep(0)
    assert pool.flow.reprioritise("2", 9) == ""
    assert pool.flow.reprioritise("3", 9) == "no such request is queued"
    pool.load("a", -1)
    await asyncio.gather(*tasks)
    assert pool.done == ["2", "1"]
    assert pool.heard.moves == [(0, 9)]


@virtual
async def test_a_request_that_an_idle_model_can_serve_does_not_wait_behind_a_busy_one() -> None:
    rule = LaneSettings("small", frozenset({"small"}), (), {}, {"size": "s"})
    for head_of_line, done in (("per-lane", ["idle", "busy"]), ("strict", ["busy", "idle"])):
        made = settings(lanes=(rule,), head_of_line=head_of_line, usage_limit=Named(Ceilings(0.5), "limits"))
        pool = Pool(["large"], made)
        pool.add("little")
        pool.change("little", labels={"size": "s"})
        pool.load("large", 1)
        tasks = [pool.send("busy", 9, 0.0), pool.send("idle", 0, 0.0, target_model="small")]
        await asyncio.sleep(5.0)
        pool.load("large", -1)
        await asyncio.gather(*tasks)
        assert pool.done == done


@virtual
async def test_priority_inversion_on_purpose_fails() -> None:
    """Low requests that come first and hold all room delay a high one by one service time and no more."""
    pool = Pool(["a", "b"])
    low = [pool.send(f"low{number}", -1, 4.0) for number in range(40)]
    await asyncio.sleep(0.1)
    high = pool.send("high", 10, 4.0)
    begun = pool.loop.time()
    while "high" not in pool.done:
        await asyncio.sleep(0.01)
    assert pool.loop.time() - begun <= 4.0
    assert await high == "served"
    for task in low:
        task.cancel()
    await asyncio.wait(low)
    assert pool.flow.controller.length == 0


@virtual
async def test_broken_policies_lose_nothing_and_a_broken_detector_lets_go() -> None:
    broken = Broken()
    pool = Pool(made=settings(ordering=broken, fairness=broken, detector=Named(broken, "detector")))
    assert await asyncio.gather(*(pool.send(str(number), seconds=0.1) for number in range(5))) == ["served"] * 5
    assert {failure.plugin for failure in pool.failures} == {"ordering", "fairness", "detector"}


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "abort", "reload", "lose", "find"]),
        st.floats(0.0, 3.0),
        st.integers(-2, 2),
    ),
    min_size=1,
    max_size=40,
)


@hypothesis_settings(max_examples=100, deadline=None)
@given(actions=ACTIONS, later=st.booleans())
def test_no_request_is_lost_or_answered_twice(actions: list[tuple[str, float, int]], later: bool) -> None:
    """With ``later``, those of a negative priority wait for a better time."""
    run_virtually(_play(actions, later=later))


async def _play(actions: list[tuple[str, float, int]], *, later: bool) -> None:
    made = settings(ordering=Aging(step=3.0, top=2, max_wait=9.0), default_request_ttl=timedelta(seconds=12))
    other = replace(made, max_requests=5, default_request_ttl=timedelta(seconds=6))
    if later:
        made = replace(made, deferral_policies=(Named(Windows(length=4.0), "later"),))
        other = replace(other, deferral_policies=(Named(Windows(length=3.0, patience=5.0, refuses=True), "l"),))
    pool = Pool(["a", "b"], made)
    tasks: list[asyncio.Task[str]] = []
    for number, (action, seconds, value) in enumerate(actions):
        match action:
            case "send":
                level = "later" if value < 0 else ""
                tasks.append(pool.send(f"r{number}", value, seconds, flow=str(value), level=level))
            case "abort" if tasks:
                tasks[value % len(tasks)].cancel()
            case "reload":
                pool.flow.configure(other if value > 0 else made)
            case "lose" if "b" in pool.endpoints and pool.endpoints["b"].in_flight == 0:
                pool.remove("b")
            case "find" if "b" not in pool.endpoints:
                pool.add("b")
        await asyncio.sleep(seconds / 4)
    done, pending = await asyncio.wait(tasks, timeout=1000.0) if tasks else (set(), set())
    assert not pending
    answers = [task.result() for task in done if not task.cancelled()]
    assert set(answers) <= {"served", "rejected-ttl-expired", "rejected-saturated", "rejected-no-endpoints"}
    assert len(pool.done) == len(set(pool.done))
    assert pool.heard.queued == pool.flow.controller.length == 0
    ended = [heard.split()[0] for heard in pool.heard.outcomes]
    assert len(ended) == len(set(ended)), "an outcome is reported once"
    assert sum(endpoint.in_flight for endpoint in pool.candidates()) == 0
    assert pool.flow._pending == 0
    assert pool.failures == []


def deferring(windows: Windows, **more: Any) -> Pool:
    return Pool(made=settings(deferral_policies=(Named(windows, "later"),), **more))


@virtual
async def test_a_deferred_request_waits_for_its_time_while_others_go() -> None:
    pool = deferring(Windows(length=600.0, patience=1e6))  # the loop's clock starts at 1000, in an open window
    await asyncio.sleep(200.0)
    later = pool.send("later", level="later", seconds=0.0)
    assert await pool.send("other", seconds=0.0) == "served"
    assert pool.flow.expected_wait() is None
    await asyncio.sleep(500.0)
    assert not later.done()
    looks = len(pool.heard.saturations)
    assert looks <= 4, "nobody looks every few milliseconds while all are deferred"
    assert await later == "served"
    assert pool.heard.outcomes == ["other Dispatched 0.0", "later Dispatched 600.0"]


@virtual
async def test_a_deferred_request_leaves_with_its_client_at_once() -> None:
    pool = deferring(Windows(length=1e6))
    leaving = pool.send("leaves", level="later")
    await asyncio.sleep(1.0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert pool.heard.outcomes == ["leaves EvictedContextCancelled 1.0"]
    assert pool.flow.controller.length == 0


@virtual
async def test_a_deferred_request_is_refused_at_its_deadline_or_at_the_end_of_the_picker() -> None:
    pool = deferring(Windows(length=1e6, patience=50.0, refuses=True))
    expiring, closing = pool.send("expires", level="later"), pool.send("stays", level="later")
    assert await expiring == await closing == "rejected-ttl-expired"
    begun = pool.send("closes", level="later")
    await asyncio.sleep(1.0)
    pool.flow.close()
    assert await begun == "rejected-shutting-down"
    assert pool.heard.outcomes[0] == "expires EvictedTTL 50.0"


@virtual
async def test_what_expires_deferred_is_told_of_the_pool_as_it_is_then() -> None:
    pool = deferring(Windows(length=1e6, patience=50.0, refuses=True))
    pool.remove("a")
    came_to_nobody = pool.send("first", level="later")
    await asyncio.sleep(1.0)
    pool.add("a")
    assert await came_to_nobody == "rejected-ttl-expired"
    comes_to_one = pool.send("second", level="later")
    await asyncio.sleep(1.0)
    pool.remove("a")
    assert await comes_to_one == "rejected-no-endpoints"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pool: pool.flow.configure(settings()), id="a configuration that defers nothing"),
        pytest.param(lambda pool: pool.flow.let_all_go(), id="no flow control any more"),
    ],
)
@virtual
async def test_what_nobody_defers_any_more_goes(change: Callable[[Pool], None]) -> None:
    pool = deferring(Windows(length=1e6, patience=1e6))
    later = pool.send("later", level="later", seconds=0.0)
    await asyncio.sleep(90.0)
    change(pool)
    assert await later == "served"
    assert pool.heard.outcomes == ["later Dispatched 90.0"]


@virtual
async def test_a_reload_that_brings_the_time_nearer_is_noticed() -> None:
    pool = deferring(Windows(length=1e6, patience=1e6))
    later = pool.send("later", level="later", seconds=0.0)
    await asyncio.sleep(1.0)
    pool.flow.configure(settings(deferral_policies=(Named(Windows(length=1e6, patience=5.0), "later"),)))
    assert await later == "served"
    assert pool.heard.outcomes == ["later Dispatched 5.0"]


@virtual
async def test_a_deferred_request_that_gets_another_priority_may_go() -> None:
    class OnlyLow(Windows):
        def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
            return Deferral(now + 1e6) if item.request.priority < 0 else None

    pool = deferring(OnlyLow())
    later = pool.send("later", -1, seconds=0.0)
    await asyncio.sleep(1.0)
    assert pool.flow.reprioritise("later", 1) == ""
    assert await later == "served"


@virtual
async def test_entry_policies_are_not_asked_about_what_does_not_stand_in_line() -> None:
    class Nobody:
        def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
            return Refusal(RefusalKind.RESOURCE_EXHAUSTED, "no", "rejected-saturated")

    pool = deferring(Windows(length=600.0, patience=20.0), entry_policies=(Named(Nobody(), "nobody"),))
    await asyncio.sleep(200.0)
    pool.load("a", 1)
    later = pool.send("later", level="later", seconds=0.0)
    assert await pool.send("other") == "rejected-saturated"
    await asyncio.sleep(30.0)
    pool.load("a", -1)
    assert await later == "served"


@virtual
async def test_the_decision_says_how_long_a_request_was_deferred() -> None:
    pool = deferring(Windows(length=600.0, patience=20.0))
    await asyncio.sleep(200.0)
    admitted = await pool.ask(request("later", level="later"))
    assert isinstance(admitted, Admission)
    record = admitted.explained()
    assert record is not None
    assert record.seconds == 20.0
    assert record.reason.startswith("deferred for 20.0 s; ")


@virtual
async def test_the_targets_of_a_deferred_request_count_from_when_it_stands_in_line() -> None:
    class ByTarget(Aging):
        def rank(self, item: QueuedRequest, now: float) -> float:
            assert item.request.ttft_target is not None
            return item.request.received_at + item.request.ttft_target

    windows = Named(Windows(length=600.0, patience=20.0), "later")
    pool = Pool(made=settings(ordering=ByTarget(step=NEVER), deferral_policies=(windows,)))
    await asyncio.sleep(200.0)
    pool.load("a", 1)
    later = asyncio.ensure_future(pool.ask(request("later", level="later", ttft_target=15.0, received_at=1200.0)))
    await asyncio.sleep(19.0)
    other = asyncio.ensure_future(pool.ask(request("other", ttft_target=10.0, received_at=1219.0)))
    await asyncio.sleep(5.0)
    pool.load("a", -1)
    first = await asyncio.wait_for(other, 10.0)
    assert isinstance(first, Admission)
    assert first.in_line_since is None
    assert not later.done()
    first.settled()
    admitted = await later
    assert isinstance(admitted, Admission)
    assert admitted.changed(request("later", received_at=1200.0)).received_at == 1220.0


@virtual
async def test_a_running_sheddable_request_makes_room_for_a_critical_one() -> None:
    class Newest:
        def eviction_rank(self, item: QueuedRequest, dispatched_at: float) -> tuple[float, ...]:
            return (-dispatched_at,)

        def evictable(self, item: QueuedRequest) -> bool:
            return item.request.priority < 0

    policy = Newest()
    pool = Pool(
        made=settings(
            enable_eviction=True,
            eviction_order=Named(policy, "order"),
            eviction_filter=Named(policy, "filter"),
            max_evicted_share=1.0,
        )
    )
    background = pool.send("background", -1, 100.0)
    await asyncio.sleep(1.0)
    running = pool.run("background", -1, background)
    assert running
    critical = pool.send("critical", 9, 1.0)
    begun = pool.loop.time()
    assert await critical == "served"
    assert pool.loop.time() - begun == pytest.approx(1.0, abs=0.05)
    assert pool.heard.evictions[0] == "revoked -1"
    assert background.cancelled()


@virtual
async def test_an_admission_says_how_the_request_waited_and_with_which_priority() -> None:
    class Reasonable(Aging):
        def reason(self, item: QueuedRequest, now: float) -> str:
            return f"waited since {item.enqueued_at - 1000.0:g}"

    pool = Pool(made=settings(ordering=Reasonable(step=3.0, top=9, max_wait=8.0)))
    pool.load("a", 1)
    waiting = asyncio.ensure_future(pool.ask(request("r", 0, "tenant", level="normal")))
    await asyncio.sleep(1.0)
    assert pool.flow.reprioritise("r", 2) == ""
    await asyncio.sleep(9.0)
    pool.load("a", -1)
    admitted = await waiting
    assert isinstance(admitted, Admission)
    assert admitted.priority == 2
    explained = admitted.explained()
    assert explained is not None
    assert replace(explained, seconds=round(explained.seconds, 1)) == WaitRecord(
        10.0, 2, 5, True, "normal", "tenant", 0.0, "ordering: waited since 0; among flows: fairness"
    )


@virtual
async def test_a_time_to_live_that_is_over_at_once_is_a_refusal() -> None:
    pool = Pool(made=settings(default_request_ttl=timedelta(microseconds=1)))
    pool.load("a", 1)
    pool.loop.call_later(1e-6, lambda: None)
    refused = await pool.ask(request("r"))
    assert isinstance(refused, Refusal)
    assert refused.dropped_reason == "rejected-ttl-expired"


@virtual
async def test_a_hundred_thousand_wait_and_all_leave() -> None:
    pool = Pool(made=settings(default_band=band(max_requests=200_000), **NO_TTL))
    pool.load("a", 1)
    tasks = [
        asyncio.ensure_future(pool.ask(request(str(number), number % 5, f"tenant{number}")))
        for number in range(100_000)
    ]
    await asyncio.sleep(0.001)
    assert pool.flow.controller.length == 100_000
    for task in tasks[:50_000]:
        task.cancel()
    await asyncio.wait(tasks[:50_000])
    assert pool.flow.controller.length == 50_000
    pool.flow.close()
    await asyncio.wait(tasks)
    assert pool.flow.controller.length == pool.heard.queued == 0
    assert len(pool.heard.outcomes) == 100_000
