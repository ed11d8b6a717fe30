import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided, endpoint_lists
from turnout.framework import CycleState, Endpoint, SchedulingResult
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.no_hit_lru import NoHitLRUScorer

A, B, C = (make_endpoint(name) for name in "abc")
POOL = [A, B, C]


def state_with(*hits: Endpoint, producer: str = "") -> CycleState:
    state = make_state()
    state.write(PREFIX_MATCHES.of(producer), PrefixMatches({endpoint.name: 1 for endpoint in hits}, 4, 64))
    return state


COLD = state_with()


def send(scorer: NoHitLRUScorer, *results: SchedulingResult, state: CycleState = COLD) -> None:
    for result in results:
        scorer.pre_request(make_request(), state, result)


def to(endpoint: Endpoint) -> SchedulingResult:
    return decided(endpoint, candidates=POOL)


def scores(scorer: NoHitLRUScorer, endpoints: list[Endpoint] = POOL, state: CycleState = COLD) -> list[float]:
    return list(scorer.score(make_request(), state, endpoints))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param([], [1.0, 0.5, 0.0], id="nobody was used: in their order"),
        pytest.param([A], [0.0, 1.0, 0.5], id="the one that was used comes last"),
        pytest.param([B, A], [0.0, 0.5, 1.0], id="the unused one first, then the older use"),
        pytest.param([A, B, C], [1.0, 0.5, 0.0], id="the oldest use first"),
        pytest.param([A, B, C, A], [0.0, 1.0, 0.5], id="the latest use counts"),
    ],
)
def test_a_cold_prompt_goes_where_none_went_for_the_longest_time(sent: list[Endpoint], expected: list[float]) -> None:
    scorer = NoHitLRUScorer()
    send(scorer, *map(to, sent))
    assert scores(scorer) == expected


def test_a_prompt_that_somebody_has_cached_is_left_to_others() -> None:
    scorer = NoHitLRUScorer()
    assert scores(scorer, state=state_with(B)) == [0.5, 0.5, 0.5]
    assert scores(scorer, [A, C], state_with(B)) == [1.0, 0.0]


def test_a_single_endpoint_scores_1() -> None:
    assert scores(NoHitLRUScorer(), [A]) == [1.0]


def test_only_cold_prompts_are_remembered() -> None:
    scorer = NoHitLRUScorer()
    send(scorer, to(A), state=state_with(B))
    assert scores(scorer) == [1.0, 0.5, 0.0]
    send(scorer, to(A), state=make_state())
    assert scores(scorer) == [0.0, 1.0, 0.5]


def test_the_prefill_endpoint_is_remembered_after_the_destination_and_others_are_not() -> None:
    scorer = NoHitLRUScorer()
    send(scorer, decided(A, ("prefill", B), ("encode", C)))
    assert scores(scorer) == [0.5, 0.0, 1.0]


def test_each_profile_is_cold_or_not_by_its_own_candidates() -> None:
    scorer = NoHitLRUScorer()
    send(scorer, decided(A, ("prefill", B)), state=state_with(B))
    assert scores(scorer) == [0.0, 1.0, 0.5]


def test_an_endpoint_that_left_takes_no_place() -> None:
    scorer = NoHitLRUScorer()
    send(scorer, *map(to, [C, A, B]))
    assert scores(scorer, [A, B]) == [1.0, 0.0]


def test_the_endpoint_whose_use_is_oldest_is_forgotten_first() -> None:
    scorer = NoHitLRUScorer(lru_size=2)
    send(scorer, *map(to, [A, B, A, C]))
    assert scores(scorer) == [0.5, 1.0, 0.0]
    assert len(scorer._last) == 2


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_1_means_the_default(size: int) -> None:
    assert NoHitLRUScorer(lru_size=size)._size == 1024


def test_the_named_producer_is_read_and_old_parameters_have_no_effect() -> None:
    scorer = NoHitLRUScorer(
        prefix_match_info_producer_name="mine", prefix_plugin_type="prefix-cache-scorer", prefix_plugin_name="other"
    )
    assert scorer.reads == (PREFIX_MATCHES.of("mine"),)
    assert scores(scorer, state=state_with(A, producer="mine")) == [0.5, 0.5, 0.5]
    assert scores(scorer, state=state_with(A)) == [1.0, 0.5, 0.0]


@given(
    endpoints=endpoint_lists(),
    sent=st.lists(st.integers(0, 7), max_size=20),
    size=st.integers(1, 4),
    hits=st.integers(0, 2),
)
def test_the_scorer_keeps_its_contract(endpoints: list[Endpoint], sent: list[int], size: int, hits: int) -> None:
    scorer = NoHitLRUScorer(size)
    for place in sent:
        send(scorer, decided(endpoints[place % len(endpoints)], candidates=endpoints))
    found = check_scorer(scorer, make_request(), state_with(*endpoints[:hits]), endpoints)
    if hits:
        assert set(found) == {0.5}
    else:
        assert len(set(found)) == len(endpoints)
        assert max(found) == 1.0
