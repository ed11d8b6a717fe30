from typing import Any

import pytest

from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.carbon.carbon_filter import CarbonFilter
from turnout.plugins.carbon.keys import CARBON_INTENSITIES, CarbonIntensities

POOL = [make_endpoint(name, labels={"region": name}) for name in ("coal", "clean", "far")]


def kept(plugin: CarbonFilter, known: dict[str, float] | None) -> list[str]:
    state = make_state()
    if known is not None:
        state.write(CARBON_INTENSITIES.of(""), CarbonIntensities(known, "region"))
    found = check_filter(plugin, make_request(), state, POOL)
    return [endpoint.name.removeprefix("default/") for endpoint in found]


@pytest.mark.parametrize(
    ("parameters", "known", "left"),
    [
        pytest.param({}, {"coal": 900.0, "clean": 100.0}, ["clean", "far"], id="dirty ones go, unknown ones stay"),
        pytest.param({"keep_unknown": False}, {"coal": 900.0, "clean": 100.0}, ["clean"], id="unknown ones go"),
        pytest.param({"keep_unknown": False}, {"coal": 900.0}, ["coal", "clean", "far"], id="nothing left: all stay"),
        pytest.param({"keep_unknown": False, "when_none": "refuse"}, {"coal": 900.0}, [], id="nothing left: refuse"),
        pytest.param({}, {"coal": 100.1, "clean": 100.0}, ["clean", "far"], id="at most means at most"),
        pytest.param({}, None, ["coal", "clean", "far"], id="nobody knows anything"),
    ],
)
def test_endpoints_that_are_too_dirty_are_left_out(
    parameters: dict[str, Any], known: dict[str, float] | None, left: list[str]
) -> None:
    assert kept(CarbonFilter(100.0, **parameters), known) == left


@pytest.mark.parametrize("grams", [-1.0, 2001.0, float("nan")])
def test_an_intensity_that_no_grid_has_is_refused(grams: float) -> None:
    with pytest.raises(ValueError, match="max_intensity must be from 0 to 2000, got"):
        CarbonFilter(grams)
