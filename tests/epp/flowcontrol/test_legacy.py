import pytest

from epp.flowcontrol.fakes import Broken, InFlight, request
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.requests.admission import Admission
from turnout.framework import CycleState, Endpoint, Named, PluginError, Refusal
from turnout.framework.testing import make_endpoint

FULL, IDLE = (make_endpoint("a", in_flight=1),), (make_endpoint("a"),)


@pytest.mark.parametrize(
    ("priority", "endpoints", "detector", "refused"),
    [
        pytest.param(-1, FULL, InFlight(), True, id="sheddable and saturated"),
        pytest.param(-1, (), InFlight(), True, id="an empty pool is saturated"),
        pytest.param(-1, IDLE, InFlight(), False, id="sheddable with room"),
        pytest.param(0, FULL, InFlight(), False, id="not sheddable"),
        pytest.param(-1, FULL, None, False, id="nobody knows"),
        pytest.param(-1, FULL, Broken(), False, id="a broken detector refuses nobody"),
    ],
)
async def test_only_sheddable_requests_are_dropped(
    priority: int, endpoints: tuple[Endpoint, ...], detector: InFlight | Broken | None, refused: bool
) -> None:
    failures: list[PluginError] = []
    named = None if detector is None else Named(detector, "detector")
    admission = LegacyAdmission(named, lambda: endpoints, failures.append, lambda: 5.0)
    found = await admission.enter(request(priority=priority), CycleState(), None)
    assert isinstance(found, Refusal if refused else Admission)
    assert bool(failures) == isinstance(detector, Broken)
    assert admission.endpoints_for(request(), endpoints) is endpoints
