from collections.abc import Sequence

from epp.flowcontrol.fakes import Alphabet, Broken, Strict, request
from turnout.epp.flowcontrol.band import AnyFairness, Band
from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.guard import Guard
from turnout.framework import FlowHead, Named, PluginError, QueuedRequest


def made(fairness: AnyFairness, failures: list[PluginError] | None = None) -> Band:
    return Band(3, fairness, Guard(([] if failures is None else failures).append))


def entry(number: int, flow: str) -> Entry:
    return Entry(QueuedRequest(request(str(number), flow=flow), float(number)), "all", number)


def filled(band: Band, flows: str) -> list[Entry]:
    entries = [entry(number, flow) for number, flow in enumerate(flows)]
    for each in entries:
        each.rank = each.enqueued_at
        band.add(each, 0.0)
    return entries


def test_flows_come_and_go_with_their_requests() -> None:
    band = made(Named(Strict(), "strict"))
    entries = filled(band, "abab")
    assert (band.length, band.flow_count, set(band)) == (4, 2, set(entries))
    for expected in entries:
        assert band.next(9.0) is expected
        band.discard(expected, 9.0)
    assert (band.length, band.flow_count, band.next(9.0)) == (0, 0, None)


def test_a_policy_that_looks_at_all_flows_sees_heads_lengths_and_the_band() -> None:
    class Curious(Alphabet):
        seen: tuple[FlowHead, ...] = ()

        def choose(self, flows: Sequence[FlowHead], now: float) -> FlowHead:
            self.seen = tuple(flows)
            return super().choose(flows, now)

    curious = Curious()
    band = made(Named(curious, "curious"))
    filled(band, "bba")
    chosen = band.next(9.0)
    assert chosen is not None
    assert chosen.waiting.request.fairness_id == "a"
    shown = [(flow.fairness_id, flow.head.request.request_id, flow.length, flow.priority) for flow in curious.seen]
    assert shown == [("b", "0", 2, 3), ("a", "2", 1, 3)]


def test_a_policy_that_chooses_a_stranger_is_broken_and_the_best_head_goes() -> None:
    class Stranger:
        def choose(self, flows: Sequence[FlowHead], now: float) -> FlowHead:
            return FlowHead("x", QueuedRequest(request("x"), 0.0), 1)

    failures: list[PluginError] = []
    band = made(Named(Stranger(), "stranger"), failures)
    entries = filled(band, "ba")
    assert band.next(9.0) is entries[0]
    assert [failure.plugin for failure in failures] == ["stranger"]


def test_a_rank_that_is_not_a_number_counts_as_the_heads_own() -> None:
    failures: list[PluginError] = []
    band = made(Named(Broken(), "broken"), failures)
    entries = filled(band, "ba")
    assert band.next(9.0) is entries[0]
    assert "NaN" in str(failures[0])


def test_stale_places_of_flows_do_not_pile_up() -> None:
    band = made(Named(Strict(), "strict"))
    (first,) = filled(band, "a")
    for number in range(1, 5_000):
        each = entry(number, f"flow{number}")
        each.rank = float(number)
        band.add(each, 0.0)
        band.discard(each, 0.0)
    assert len(band._places) < 50
    assert band.next(0.0) is first
