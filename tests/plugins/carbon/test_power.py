from collections.abc import Mapping
from typing import Any

import pytest

from turnout.framework.testing import make_endpoint
from turnout.plugins.carbon.power import Power

GPUS = "nvidia.com/gpu.count"
WATTS = "turnout/power-watts"


@pytest.mark.parametrize(
    ("power", "labels", "watts", "bad"),
    [
        pytest.param(Power(), {}, None, [], id="nothing is known"),
        pytest.param(Power(gpu_watts=700.0), {}, 700.0, [], id="one GPU"),
        pytest.param(Power(gpu_watts=700.0), {GPUS: "8"}, 5600.0, [], id="eight"),
        pytest.param(Power(gpu_watts=700.0, pue=1.5), {GPUS: "2"}, 2100.0, [], id="with the site's share"),
        pytest.param(Power(gpu_watts=700.0), {WATTS: "3000", GPUS: "8"}, 3000.0, [], id="the whole endpoint's"),
        pytest.param(Power(), {WATTS: "3000"}, 3000.0, [], id="by its label only"),
        pytest.param(Power(gpu_watts=700.0), {WATTS: "-5"}, 700.0, [WATTS], id="below 0"),
        pytest.param(Power(gpu_watts=700.0), {WATTS: "nan", GPUS: "many"}, 700.0, [WATTS, GPUS], id="no numbers"),
        pytest.param(Power(), {WATTS: "1e308"}, None, [WATTS], id="absurd"),
        pytest.param(Power(), {WATTS: "1" * 100}, None, [WATTS], id="endless"),
    ],
)
def test_power_is_what_the_labels_say(
    power: Power, labels: Mapping[str, str], watts: float | None, bad: list[str]
) -> None:
    endpoint = make_endpoint(labels=labels)
    assert power.watts(endpoint) == watts
    assert power.bad_labels(endpoint) == bad


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"gpu_watts": 0.0}, "gpu_watts must be above 0", id="no power"),
        pytest.param({"gpu_watts": float("nan")}, "gpu_watts must be above 0", id="no number"),
        pytest.param({"pue": 0.9}, "pue must be from 1 to 10, got 0.9", id="a site that gives power"),
    ],
)
def test_power_out_of_range_is_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Power(**parameters)
