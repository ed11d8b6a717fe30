from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import CycleState
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.carbon.keys import CARBON_INTENSITIES, CarbonIntensities
from turnout.plugins.carbon.scorer import CarbonScorer

POOL = [make_endpoint(name, labels={"region": name}) for name in ("clean", "coal", "mixed", "far")]
KNOWN = {"clean": 0.0, "mixed": 200.0, "coal": 1000.0}


def knowing(intensities: Mapping[str, float] | None) -> CycleState:
    state = make_state()
    if intensities is not None:
        state.write(CARBON_INTENSITIES.of(""), CarbonIntensities(intensities, "region"))
    return state


@pytest.mark.parametrize(
    ("parameters", "known", "scores"),
    [
        pytest.param({}, KNOWN, [1.0, 0.0, 0.75, 0.0], id="the cleaner the better"),
        pytest.param({"dirtiest": 400.0}, KNOWN, [1.0, 0.0, 0.5, 0.0], id="another scale"),
        pytest.param({"unknown": 400.0}, KNOWN, [1.0, 0.0, 0.75, 0.5], id="what is unknown counts as average"),
        pytest.param({"preferred_regions": ["mixed"]}, KNOWN, [0.8, 0.0, 0.8, 0.0], id="a preferred region"),
        pytest.param(
            {"preferred_regions": ["far"], "preference": 1.0}, KNOWN, [0.0, 0.0, 0.0, 1.0], id="preferred above all"
        ),
        pytest.param({}, None, [0.0] * 4, id="nobody knows anything"),
    ],
)
def test_clean_endpoints_score_best(
    parameters: dict[str, Any], known: Mapping[str, float] | None, scores: list[float]
) -> None:
    found = check_scorer(CarbonScorer(**parameters), make_request(), knowing(known), POOL)
    assert found == pytest.approx(scores)


@given(
    known=st.dictionaries(st.sampled_from(["clean", "coal", "mixed"]), st.floats(0.0, 2000.0)),
    dirtiest=st.floats(1e-300, 2000.0),
    unknown=st.none() | st.floats(0.0, 2000.0),
    preference=st.floats(0.0, 1.0),
)
def test_the_contract_holds(known: dict[str, float], dirtiest: float, unknown: float | None, preference: float) -> None:
    plugin = CarbonScorer(dirtiest, unknown, ["coal"], preference)
    check_scorer(plugin, make_request(), knowing(known), POOL)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"dirtiest": 0.0}, "dirtiest must be above 0 and at most 2000, got 0.0", id="nothing is dirty"),
        pytest.param({"unknown": -1.0}, "unknown must be from 0 to 2000, got -1.0", id="below 0"),
        pytest.param({"preference": float("nan")}, "preference must be from 0 to 1, got nan", id="no number"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CarbonScorer(**parameters)
