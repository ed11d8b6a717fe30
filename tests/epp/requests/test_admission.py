from turnout.epp.requests.admission import Admission


def test_an_admission_is_settled_once() -> None:
    calls: list[str] = []
    admission = Admission(lambda: calls.append("settled"))
    admission.settled()
    admission.settled()
    assert calls == ["settled"]
    Admission().settled()
    assert Admission().explained() is None
    assert Admission().priority is None
