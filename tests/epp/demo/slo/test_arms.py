import pytest

from epp.demo.slo.virtual_arm import run
from turnout.config import load_pipeline
from turnout.epp.demo.slo.arms import ARMS, make_load, profile
from turnout.epp.demo.slo.figures import goals, summarise
from turnout.epp.demo.slo.servers import capacity
from turnout.epp.demo.slo.workload import requests

LEAST_REQUEST = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: active-request-scorer
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: active-request-scorer
  - pluginRef: max-score-picker
"""


def test_the_load_is_nine_tenths_of_the_capacity_for_its_own_mix() -> None:
    load = make_load(4, 60.0)
    assert load.capacity == capacity(requests(4))
    assert load.rate == 0.9 * load.capacity
    assert abs(len(load.requests) - 60.0 * load.rate) < 6 * (60.0 * load.rate) ** 0.5


@pytest.mark.parametrize("arm", [name for name, arm in ARMS.items() if arm.profile])
def test_the_profile_of_each_run_is_a_shipped_one_and_refuses_nobody(arm: str) -> None:
    pipeline = load_pipeline(profile(arm))
    assert pipeline.flow_control is None
    assert pipeline.admitters == ()


@pytest.mark.parametrize("seed", [20, 21])
def test_on_virtual_time_slo_first_meets_more_targets_and_cost_first_nearly_as_many_for_less(seed: int) -> None:
    runs = {
        name: summarise(load.requests, run(profile(name) if arm.profile else LEAST_REQUEST, load.requests))
        for name, arm in ARMS.items()
        for load in [make_load(seed, 26.0, arm.share)]
    }
    assert [goal.text for goal in goals(runs) if not goal.reached] == []
