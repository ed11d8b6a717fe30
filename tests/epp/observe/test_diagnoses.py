import logging
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from turnout.epp.observe.diagnoses import Diagnoses, FindingGauges
from turnout.framework import Diagnosis, Endpoint, Finding, Named, PluginError

SILENT = Finding("no-events", "no events for 60 s", "default/a")
SILENT_FOR_LONGER = Finding("no-events", "no events for 75 s", "default/a")
NO_TOKENS = Finding("no-tokens", "no token ids\nat all")


class Patient:
    def __init__(self, *findings: Finding) -> None:
        self.findings: Sequence[Finding] = findings

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        return Diagnosis(self.findings, {"default/a": {"requests": 3}})


class Broken:
    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        raise RuntimeError("no doctor")


class Silent:
    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        return None  # type: ignore[return-value]


def diagnoses(*plugins: Patient | Broken | Silent, failures: list[PluginError] | None = None) -> Diagnoses:
    named = [Named(plugin, f"p{number}") for number, plugin in enumerate(plugins)]
    failed = (failures if failures is not None else []).append
    return Diagnoses(lambda: named, lambda: (), lambda: 1.0, failed)


def test_every_plugin_is_asked_and_one_that_fails_is_reported() -> None:
    failures: list[PluginError] = []
    asked = diagnoses(Broken(), Patient(SILENT), failures=failures).ask()
    assert asked == {"p1": Diagnosis((SILENT,), {"default/a": {"requests": 3}})}
    assert [str(error) for error in failures] == ["plugin 'p0' failed as Diagnosis: RuntimeError: no doctor"]


def test_a_plugin_that_returns_nothing_has_no_diagnosis() -> None:
    asked = diagnoses(Silent(), Patient(SILENT))
    asked.review()
    assert list(asked.ask()) == ["p1"]


def test_a_finding_is_logged_when_it_comes_and_when_it_goes_and_not_in_between(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "turnout")
    patient = Patient(SILENT, NO_TOKENS)
    review = diagnoses(patient).review
    review()
    patient.findings = (SILENT_FOR_LONGER,)
    review()
    patient.findings = ()
    review()
    assert [record.getMessage() for record in caplog.records] == [
        "p0, endpoint default/a: no events for 60 s",
        "p0: no token ids\N{REPLACEMENT CHARACTER}at all",
        "p0: no longer so: no-tokens",
        "p0, endpoint default/a: no longer so: no-events",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO", "INFO"]


def test_findings_are_counted_by_plugin_and_cause() -> None:
    asked = diagnoses(Patient(SILENT, Finding("no-events", "neither here", "default/b")), Patient(NO_TOKENS))
    registry = CollectorRegistry()
    registry.register(FindingGauges("turnout_", asked, lambda name: f"type-of-{name}"))
    asked.review()
    page = generate_latest(registry).decode()
    assert 'turnout_plugin_findings{cause="no-events",plugin_name="p0",plugin_type="type-of-p0"} 2.0' in page
    assert 'turnout_plugin_findings{cause="no-tokens",plugin_name="p1",plugin_type="type-of-p1"} 1.0' in page
