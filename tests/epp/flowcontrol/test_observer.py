from epp.flowcontrol.fakes import request
from turnout.epp.flowcontrol.observer import FlowObserver, Unobserved
from turnout.epp.flowcontrol.outcomes import Outcome
from turnout.epp.flowcontrol.saturation import Saturation


def test_an_observer_that_keeps_nothing_takes_everything() -> None:
    observer: FlowObserver = Unobserved()
    observer.entered(request(), 0.1)
    observer.left(request(), Outcome.DISPATCHED, 0.1, was_queued=True)
    observer.moved(request(), request())
    observer.cycle(0.1)
    observer.saturated(Saturation(0.5))
    assert vars(observer) == {}
