import pytest

from turnout.epp.demo.overload.workload import Arrival
from turnout.epp.demo.timed.capacity import engine_rate
from turnout.epp.simulator.timing import StepTiming


@pytest.mark.parametrize("slots", [8, 32])
def test_a_full_engine_serves_what_its_decode_steps_allow(slots: int) -> None:
    alike = (Arrival(number, 0.0, "low", "acme", 1, 100) for number in range(600))
    step = StepTiming().step_seconds((), slots, slots * 50)
    assert engine_rate(alike, slots) == pytest.approx(slots / (100 * step), rel=0.05)
