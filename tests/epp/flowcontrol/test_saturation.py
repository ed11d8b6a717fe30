from collections.abc import Sequence

import pytest

from epp.flowcontrol.fakes import InFlight
from turnout.epp.flowcontrol.guard import Guard
from turnout.epp.flowcontrol.saturation import Saturation, SaturationGauge, with_pending
from turnout.framework import Endpoint, Named, PluginError
from turnout.framework.testing import make_endpoint


def endpoint(name: str, in_flight: int, role: str = "") -> Endpoint:
    return make_endpoint(name, in_flight=in_flight, labels={"llm-d.ai/role": role} if role else {})


@pytest.mark.parametrize(
    ("endpoints", "saturation", "effective"),
    [
        pytest.param([endpoint("a", 1), endpoint("b", 0)], Saturation(0.5), 0.5, id="without roles"),
        pytest.param(
            [endpoint("p", 2, "prefill"), endpoint("d", 1, "decode"), endpoint("x", 0)],
            Saturation(0.5, 2.0),
            2.0,
            id="the fuller stage counts; without a role it decodes",
        ),
        pytest.param(
            [endpoint("p", 0, "encode-prefill"), endpoint("d", 1, "prefill-decode")],
            Saturation(1.0, 0.0),
            1.0,
            id="who does both decodes",
        ),
        pytest.param([endpoint("p", 1, "prefill")], Saturation(1.0), 1.0, id="one stage alone"),
        pytest.param([], Saturation(1.0), 1.0, id="an empty pool"),
    ],
)
def test_stages_are_asked_about_one_by_one(endpoints: list[Endpoint], saturation: Saturation, effective: float) -> None:
    gauge = SaturationGauge(Named(InFlight(), "detector"), Guard(lambda error: None))
    assert gauge.read(endpoints, 1.0) == saturation
    assert saturation.effective == effective


def test_while_the_detector_fails_its_last_answer_stands() -> None:
    class Moody:
        broken = True

        def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
            if self.broken:
                raise RuntimeError("broken on purpose")
            return 0.7

    moody, failures = Moody(), list[PluginError]()
    gauge = SaturationGauge(Named(moody, "moody"), Guard(failures.append))
    assert gauge.read((), 1.0) == Saturation(0.0)
    moody.broken = False
    assert gauge.read((), 2.0) == Saturation(0.7)
    moody.broken = True
    assert gauge.read((), 3.0) == Saturation(0.7)
    assert len(failures) == 2


def test_what_is_on_its_way_is_spread_evenly() -> None:
    endpoints = tuple(endpoint(name, 1) for name in "abc")
    loaded = with_pending(endpoints, 4)
    assert [each.in_flight for each in loaded] == [3, 2, 2]
    assert [each.metrics.waiting_queue_size for each in loaded] == [2, 1, 1]
    assert with_pending(endpoints, 1)[1] is endpoints[1]
    assert with_pending(endpoints, 0) is endpoints
    assert with_pending((), 5) == ()
