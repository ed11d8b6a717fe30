from dataclasses import replace

from turnout.epp.requests.admission import Admission
from turnout.framework.testing import make_request


def test_an_admission_is_settled_once() -> None:
    calls: list[str] = []
    admission = Admission(lambda: calls.append("settled"))
    admission.settled()
    admission.settled()
    assert calls == ["settled"]
    Admission().settled()
    assert Admission().explained() is None
    assert Admission().priority is None


def test_a_request_goes_on_as_it_was_changed_while_it_waited() -> None:
    request = replace(make_request(), priority=1, received_at=5.0)
    assert Admission().changed(request) is request
    assert Admission(priority=1).changed(request) is request
    assert Admission(priority=3).changed(request) == replace(request, priority=3)
    assert Admission(in_line_since=9.0).changed(request) == replace(request, received_at=9.0)
