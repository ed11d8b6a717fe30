from turnout.framework import Diagnosis, Finding


def test_a_diagnosis_without_findings_is_a_clean_one() -> None:
    assert Diagnosis() == Diagnosis((), {})
    assert Finding("no-events", "no events arrive").endpoint == ""
