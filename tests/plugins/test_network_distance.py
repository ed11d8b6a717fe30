import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.network_distance import NetworkDistanceScorer

MATRIX = {"eu-1": {"eu-2": 2.0, "us-1": 90.0}, "us-1": {"us-2": 4.0, "eu-2": 100.0}, "eu-2": {"us-1": 60.0}}
POOL = [make_endpoint(place, labels={"zone": place}) for place in ("eu-1", "eu-2", "us-1", "us-2")]


def scorer(origin: str = "", missing_distance: float | None = None) -> NetworkDistanceScorer:
    return NetworkDistanceScorer(MATRIX, ["zone"], origin, missing_distance=missing_distance)


def scores(plugin: NetworkDistanceScorer, origin: str = "") -> list[float]:
    headers = {"x-turnout-origin": origin} if origin else {}
    return [round(score, 4) for score in check_scorer(plugin, make_request(headers=headers), make_state(), POOL)]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        pytest.param("eu-1", [1.0, 0.98, 0.1, 0.0], id="as given; a missing pair is as far as the largest"),
        pytest.param("us-2", [0.0, 0.0, 0.96, 1.0], id="the other way round"),
        pytest.param("eu-2", [0.98, 1.0, 0.4, 0.0], id="given both ways, there"),
        pytest.param("us-1", [0.1, 0.0, 1.0, 0.96], id="given both ways, and back"),
        pytest.param(" eu-1 ", [1.0, 0.98, 0.1, 0.0], id="with space around it"),
        pytest.param("moon", [1.0, 1.0, 1.0, 1.0], id="an origin that nobody knows"),
        pytest.param("eu-1" * 100, [1.0, 1.0, 1.0, 1.0], id="too long a name"),
    ],
)
def test_the_nearest_scores_1_and_the_farthest_0(origin: str, expected: list[float]) -> None:
    assert scores(scorer(), origin) == expected


def test_the_origin_of_the_configuration_holds_where_the_request_says_none_that_is_known() -> None:
    plugin = scorer("us-2")
    assert scores(plugin) == scores(plugin, "moon") == scores(plugin, "us-2") == [0.0, 0.0, 0.96, 1.0]


def test_a_pair_that_is_missing_is_as_far_as_the_parameter_says() -> None:
    assert scores(scorer("eu-1", missing_distance=45.0)) == [1.0, 0.9778, 0.0, 0.5]


def test_the_first_label_that_is_in_the_matrix_counts() -> None:
    plugin = NetworkDistanceScorer({"r1": {"r2": 1.0}, "north": {"r1": 9.0}}, ["rack", "region"], "r1")
    pool = [
        make_endpoint("a", labels={"rack": "r2", "region": "north"}),
        make_endpoint("b", labels={"rack": "r9", "region": "north"}),
        make_endpoint("c", labels={}),
    ]
    assert list(plugin.score(make_request(), make_state(), pool)) == [1.0, 0.0, 0.0]


def test_where_all_are_as_far_all_score_1() -> None:
    assert list(scorer("eu-1").score(make_request(), make_state(), POOL[:1] * 2)) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"distances": {}}, "distances must name 1 to 1024 places", id="no matrix"),
        pytest.param({"distances": {"a": {"": 1.0}}}, "none of them empty", id="a place without a name"),
        pytest.param(
            {"distances": {"a": {"b": -1.0}}}, "distances.a.b must be at least 0 and finite, got -1", id="less"
        ),
        pytest.param({"distances": {"a": {"b": float("nan")}}}, "distances.a.b must be at least 0", id="no number"),
        pytest.param({"distances": {"a": {"b": float("inf")}}}, "distances.a.b must be at least 0", id="infinite"),
        pytest.param({"distances": {"a": {"a": 3.0}}}, "distances.a.a must be 0, a place is where it is", id="itself"),
        pytest.param({"missing_distance": float("nan")}, "missing_distance must be at least 0", id="missing nan"),
        pytest.param({"origin": "moon"}, "origin must be a place of distances, got 'moon'", id="an unknown origin"),
        pytest.param({"labels": []}, "labels must be at least one name", id="no label"),
        pytest.param({"labels": [""]}, "labels must be at least one name", id="an empty label"),
        pytest.param(
            {"distances": {"a": {str(place): 1.0 for place in range(1_024)}}}, "got 1025", id="too many places"
        ),
    ],
)
def test_a_matrix_that_makes_no_sense_is_refused_with_the_place(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        NetworkDistanceScorer(**{"distances": MATRIX, **parameters})  # type: ignore[arg-type]


@given(
    endpoints=endpoint_lists(),
    distances=st.dictionaries(
        st.sampled_from(["prefill", "decode", "x"]),
        st.dictionaries(st.sampled_from(["prefill", "decode", "y"]), st.floats(0.0, 1.7e308)),
        min_size=1,
    ).map(lambda rows: {a: {b: d for b, d in row.items() if a != b} for a, row in rows.items()}),
    origin=st.sampled_from(["prefill", "decode", "nowhere", ""]),
)
def test_the_scorer_keeps_its_contract(
    endpoints: list[Endpoint], distances: dict[str, dict[str, float]], origin: str
) -> None:
    plugin = NetworkDistanceScorer(distances, ["role", "zone"])
    check_scorer(plugin, make_request(headers={"x-turnout-origin": origin}), make_state(), endpoints)
