from epp.requests.fakes import Reports
from turnout.epp.observe.logs import RefusalLog
from turnout.epp.observe.metrics import Metrics
from turnout.epp.requests.observer import RequestObserver


def test_every_observer_fits_the_contract() -> None:
    observers: list[RequestObserver] = [Metrics(), RefusalLog(), Reports()]
    assert len(observers) == 3
