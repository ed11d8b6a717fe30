import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.affinity.scorers import AffinityScorer, AntiAffinityScorer

POOL = [
    make_endpoint("a", labels={"shard": "7", "rack": "r1"}),
    make_endpoint("b", labels={"shard": "6,7", "job": "train-3"}),
    make_endpoint("c", labels={"rack": "r1"}),
    make_endpoint("d"),
]


def scores(plugin: AffinityScorer, header: str | None) -> list[float]:
    headers = {} if header is None else {plugin._wanted.header: header}
    return list(check_scorer(plugin, make_request(headers=headers), make_state(), POOL))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("shard=7", [1.0, 1.0, 0.0, 0.0], id="one term"),
        pytest.param("shard=7, rack=r1", [1.0, 0.75, 0.25, 0.0], id="two terms by their weights"),
        pytest.param("shard=9", [0.0, 0.0, 0.0, 0.0], id="nobody has it"),
        pytest.param(None, [1.0, 1.0, 1.0, 1.0], id="no wish"),
        pytest.param("shard", [1.0, 1.0, 1.0, 1.0], id="a wish that cannot be read is none"),
    ],
)
def test_the_share_of_the_terms_is_the_score(header: str | None, expected: list[float]) -> None:
    assert scores(AffinityScorer(weights={"shard": 3.0}), header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("job=*", [1.0, 0.0, 1.0, 1.0], id="away from every job"),
        pytest.param("job=train-3, rack=r1", [0.5, 0.5, 0.5, 1.0], id="two things to avoid"),
        pytest.param(None, [1.0, 1.0, 1.0, 1.0], id="nothing to avoid"),
        pytest.param(";=", [1.0, 1.0, 1.0, 1.0], id="a header that cannot be read"),
    ],
)
def test_what_is_avoided_scores_low(header: str | None, expected: list[float]) -> None:
    assert scores(AntiAffinityScorer(), header) == expected


def test_terms_of_the_configuration_hold_for_every_request() -> None:
    assert scores(AntiAffinityScorer(terms=["job=*"]), None) == [1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"header": " "}, "header must not be empty", id="no header"),
        pytest.param({"terms": ["shard"]}, r"terms must be terms of the form label=value.*got \['shard'\]", id="terms"),
        pytest.param({"weights": {"shard": 0.0}}, r"weights.shard must be within \(0, 1e\+06\], got 0.0", id="zero"),
        pytest.param({"weights": {"shard": float("nan")}}, "weights.shard must be within", id="no number"),
        pytest.param({"weights": {"shard": float("inf")}}, "weights.shard must be within", id="infinite"),
    ],
)
@pytest.mark.parametrize("kind", [AffinityScorer, AntiAffinityScorer])
def test_parameters_are_checked(kind: type[AffinityScorer], parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        kind(**parameters)  # type: ignore[arg-type]


@given(
    endpoints=endpoint_lists(),
    header=st.text(st.sampled_from("role=zone,;*prefill decode"), max_size=40),
    weight=st.floats(1e-300, 1e6),
)
def test_the_scorers_keep_their_contract(endpoints: list[Endpoint], header: str, weight: float) -> None:
    for plugin in (AffinityScorer(weights={"role": weight}), AntiAffinityScorer(weights={"role": weight})):
        check_scorer(plugin, make_request(headers={plugin._wanted.header: header}), make_state(), endpoints)
