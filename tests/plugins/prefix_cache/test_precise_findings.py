from collections.abc import Callable
from dataclasses import replace

import pytest

from plugins.prefix_cache.events import payload, stored
from plugins.prefix_cache.test_engine_index import PUBLISHERS, A, B, following, hear
from turnout.framework import Endpoint, EndpointMetrics, Finding
from turnout.plugins.prefix_cache.engine_index import EngineIndex
from turnout.plugins.prefix_cache.precise_findings import figures, findings
from turnout.plugins.prefix_cache.tiers import DEFAULT_BACKENDS, Tiers


def found(index: EngineIndex, *endpoints: Endpoint, tokens_missing: str = "") -> list[Finding]:
    return findings(index, {}, endpoints, tokens_missing)


def causes(index: EngineIndex, *endpoints: Endpoint) -> list[str]:
    return [finding.cause for finding in found(index, *endpoints)]


def test_an_endpoint_whose_events_are_current_has_no_findings() -> None:
    index = following(A)
    hear(index, A, payload(stored([1, 2])))
    assert found(index, replace(A, metrics=EndpointMetrics(cache_block_size=2))) == []


def test_an_endpoint_that_cannot_be_followed_says_why() -> None:
    told = findings(following(), {"default/a": "two endpoints have one address"}, [A], "")
    assert told == [
        Finding(
            "no-event-address",
            "two endpoints have one address. Until then it is matched by what was sent to it.",
            "default/a",
        )
    ]


def test_missing_token_ids_and_a_full_index_concern_all_endpoints() -> None:
    index = EngineIndex(Tiers(DEFAULT_BACKENDS), 1)
    index.follow({"default/a": PUBLISHERS["default/a"]}, 0.0)
    hear(index, A, payload(stored([1, 2, 3])))
    assert found(index, A, tokens_missing="3 of 4 requests had no token ids") == [
        Finding("no-token-ids", "3 of 4 requests had no token ids. They were matched by what was sent."),
        Finding("index-full", "the index is full, 2 blocks did not fit; raise maxIndexBytes"),
    ]


def silent(index: EngineIndex) -> None:
    hear(index, A)


def unreadable(index: EngineIndex) -> None:
    hear(index, A, b"\xc1")


def of_unknown_kind(index: EngineIndex) -> None:
    hear(index, A, payload({"type": "BlockMoved"}))


def without_beginning(index: EngineIndex) -> None:
    followed = index.followed[A.name]
    index.act(followed, followed.stream.connected(0.0))
    index.act(followed, followed.stream.replayed([(5, payload(stored([1])))], 0.0))


def without_parents(index: EngineIndex) -> None:
    hear(index, A, payload(stored([5, 6], parent=77)))


def of_another_size(index: EngineIndex) -> None:
    hear(index, A, payload(stored([1], size=32)))


def restarting(index: EngineIndex) -> None:
    followed = index.followed[A.name]
    for number in range(4):
        index.act(followed, followed.stream.connected(100.0 * number))
        index.act(followed, followed.stream.replayed([(0, payload(stored([number])))], 100.0 * number))
        index.act(followed, followed.stream.tick(100.0 * number + 50.0))
        index.act(followed, followed.stream.replayed([(0, payload(stored([number])))], 100.0 * number + 50.0))


def unusable(index: EngineIndex) -> None:
    index.followed[A.name].problem = "Invalid argument"


BUSY = replace(A, metrics=EndpointMetrics(prefix_cache_queries=20_000.0, cache_block_size=16))


@pytest.mark.parametrize(
    ("happen", "endpoint", "expected"),
    [
        pytest.param(lambda _: None, A, ["no-event-stream"], id="nobody answers"),
        pytest.param(unusable, A, ["no-event-stream"], id="an address that cannot be used"),
        pytest.param(silent, A, [], id="an idle engine that says nothing"),
        pytest.param(silent, BUSY, ["no-events"], id="a busy engine that says nothing"),
        pytest.param(unreadable, A, ["event-schema", "history-incomplete"], id="a batch that cannot be read"),
        pytest.param(of_unknown_kind, A, ["event-schema"], id="events of an unknown kind"),
        pytest.param(without_beginning, A, ["history-incomplete"], id="a ring that lost its beginning"),
        pytest.param(without_parents, A, ["event-schema"], id="blocks whose parents are unknown"),
        pytest.param(of_another_size, BUSY, ["block-size"], id="other blocks than the metrics say"),
    ],
)
def test_what_keeps_events_from_being_used_is_found(
    happen: Callable[[EngineIndex], None], endpoint: Endpoint, expected: list[str]
) -> None:
    index = following(A)
    happen(index)
    assert causes(index, endpoint) == expected


def test_a_publisher_that_restarts_often_is_found() -> None:
    index = following(A)
    restarting(index)
    assert "publisher-restarts" in causes(index, A)


def test_the_state_of_each_endpoint_s_events_is_shown() -> None:
    index = following(A, B)
    hear(index, A, payload(stored([1, 2])))
    shown = figures(index)
    assert shown["default/a"] == {
        "stream": "live",
        "events": 1,
        "blocks": 2,
        "block_size": 2,
        "history": "complete",
        "gaps": 0,
        "restarts": 0,
        "resets": 0,
        "last_reset": "",
        "undecodable": 0,
        "skipped": 0,
    }
    assert (shown["default/b"]["stream"], shown["default/b"]["history"]) == ("connecting", "in part")
