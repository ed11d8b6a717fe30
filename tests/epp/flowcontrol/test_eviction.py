from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from epp.flowcontrol.fakes import InFlight, request, settings
from epp.flowcontrol.pool import Heard
from turnout.config import FlowControlSettings
from turnout.epp.flowcontrol.eviction import Evictions
from turnout.epp.flowcontrol.guard import Guard
from turnout.epp.flowcontrol.turns import Held
from turnout.framework import Named, PluginError, QueuedRequest, Refusal

FULL = Held("all", 5, saturation=1.0, ceiling=1.0)


class Prompt(InFlight):
    feedback_seconds = 0.01


@dataclass
class Sheddable:
    broken: bool = False

    def evictable(self, item: QueuedRequest) -> bool:
        if self.broken:
            raise RuntimeError("broken on purpose")
        return item.request.priority < 0

    def eviction_rank(self, item: QueuedRequest, dispatched_at: float) -> tuple[float, ...]:
        if self.broken:
            raise RuntimeError("broken on purpose")
        return (item.request.priority, -dispatched_at)


@dataclass(eq=False)
class Running:
    queued: QueuedRequest
    dispatched_at: float
    stuck: bool = False
    told: list[Refusal] = field(default_factory=list)
    listeners: list[Callable[[], object]] = field(default_factory=list)

    def evict(self, refusal: Refusal) -> bool:
        if self.stuck:
            return False
        self.told.append(refusal)
        self.end()
        return True

    def add_end_listener(self, listener: Callable[[], object]) -> None:
        self.listeners.append(listener)

    def end(self) -> None:
        for listener in self.listeners:
            listener()


@dataclass
class World:
    """Evictions, what runs by name, and what was reported."""

    made: FlowControlSettings
    heard: Heard = field(default_factory=Heard)
    failures: list[PluginError] = field(default_factory=list)
    requests: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.evictions = Evictions(self.made, self.heard, Guard(self.failures.append))

    def run(self, name: str, priority: int, at: float = 0.0, *, stuck: bool = False) -> None:
        item = QueuedRequest(request(name, priority), at)
        running = self.requests[name] = Running(item, at, stuck)
        self.evictions.running(running)

    def make_room(self, now: float, held: Held = FULL, in_flight: int = 4) -> list[str]:
        before = {name: len(running.told) for name, running in self.requests.items()}
        count = self.evictions.make_room([held], in_flight, now)
        evicted = [name for name, running in self.requests.items() if len(running.told) > before[name]]
        assert len(evicted) == count
        return evicted


def world(share: float = 1.0, policy: Sheddable | None = None, detector: object = None) -> World:
    policy = policy or Sheddable()
    return World(
        settings(
            enable_eviction=True,
            eviction_order=Named(policy, "order"),
            eviction_filter=Named(policy, "filter"),
            max_evicted_share=share,
            detector=Named(detector or Prompt(), "detector"),
        )
    )


def test_the_lowest_and_newest_sheddable_goes_and_is_told_why() -> None:
    made = world()
    for name, priority, at in (("normal", 0, 1.0), ("old", -2, 1.0), ("new", -2, 2.0), ("less", -1, 3.0)):
        made.run(name, priority, at)
    assert made.make_room(10.0) == ["new"]
    (refusal,) = made.requests["new"].told
    assert (refusal.dropped_reason, refusal.retry_after_seconds) == ("evicted", 1.0)
    assert made.heard.evictions == ["revoked -2", "target 1 pending 1"]


@pytest.mark.parametrize(
    ("held", "in_flight", "evicted"),
    [
        pytest.param(Held("all", 5, 1.0, 1.0), 4, 1, id="at the ceiling one has to go"),
        pytest.param(Held("all", 5, 1.5, 1.0), 3, 1, id="as many as bring it under"),
        pytest.param(Held("all", 5, 4.0, 1.0), 4, 2, id="two at once at most"),
        pytest.param(Held("all", 5, 0.5, 1.0), 4, 0, id="not saturated: it does not fit, which is no reason"),
        pytest.param(Held("all", -1, 1.0, 1.0), 4, 0, id="not for one of the same priority"),
        pytest.param(Held("all", 5, 1.0, 1.0), 0, 0, id="nothing of ours is in flight"),
        pytest.param(Held("all", 5, float("inf"), 1.0), 4, 1, id="no idea how much each takes"),
    ],
)
def test_as_many_go_as_the_saturation_says(held: Held, in_flight: int, evicted: int) -> None:
    made = world()
    for number in range(4):
        made.run(str(number), -1, float(number))
    assert len(made.make_room(10.0, held, in_flight)) == evicted


def test_nothing_more_goes_until_the_room_shows() -> None:
    made = world()
    for number in range(4):
        made.run(str(number), -1, float(number))
    assert made.make_room(10.0) == ["3"]
    assert made.make_room(10.005) == []
    assert made.make_room(10.02) == []
    assert made.make_room(10.03, replace(FULL, saturation=1.0 - 1e-9, ceiling=0.5), 4) == ["1", "2"]
    made.evictions.made_room(10.05)
    assert made.heard.evictions[2:] == [
        "confirmed after 0.03",
        "target 0 pending 0",
        "revoked -1",
        "revoked -1",
        "target 2 pending 2",
        "confirmed after 0.02",
        "target 0 pending 0",
    ]


def test_room_that_never_shows_is_given_up_after_ten_seconds() -> None:
    made = world(detector=InFlight())
    for number in range(4):
        made.run(str(number), -1, float(number))
    assert made.make_room(10.0) == ["3"]
    assert made.make_room(19.9) == []
    assert made.make_room(20.0) == ["2"]
    assert "timed out after 10.00" in made.heard.evictions


def test_at_most_the_stated_share_is_lost_within_a_minute() -> None:
    made = world(share=0.25)
    for number in range(8):
        made.run(str(number), -1, float(number))
    lost = []
    for second in range(40):
        lost += made.make_room(10.0 + second)
        made.evictions.made_room(10.5 + second)
    assert lost == ["7", "6"]
    assert made.make_room(72.0) == ["5"]


def test_what_has_ended_or_cannot_be_taken_back_is_passed_over() -> None:
    made = world()
    made.run("ended", -1, 3.0)
    made.run("stuck", -1, 2.0, stuck=True)
    made.run("left", -1, 1.0)
    made.requests["ended"].end()
    assert made.make_room(10.0) == ["left"]


def test_a_broken_filter_protects_everybody_and_a_broken_order_is_the_plain_one() -> None:
    policy = Sheddable()
    made = world(policy=policy)
    made.run("old", -1, 1.0)
    made.run("new", -1, 2.0)
    policy.broken = True
    made.run("safe", -9, 3.0)
    assert made.make_room(10.0) == ["new"]
    assert {failure.plugin for failure in made.failures} == {"order", "filter"}


def test_other_settings_may_protect_what_runs() -> None:
    made = world()
    made.run("r", -1)
    made.evictions.configure(replace(made.made, enable_eviction=False, eviction_filter=None))
    assert made.make_room(10.0) == []
