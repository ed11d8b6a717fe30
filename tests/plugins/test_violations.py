from plugins.generated import decided
from turnout.framework import CounterReading, CycleState
from turnout.framework.testing import make_endpoint
from turnout.plugins.violations import Violations

A, B, C = make_endpoint("a"), make_endpoint("b"), make_endpoint("c")


def counts(violations: Violations) -> dict[str, float]:
    readings = list(violations.readings())
    assert all(isinstance(reading, CounterReading) for reading in readings)
    assert {reading.name for reading in readings} == {"topology_violations_total"}
    return {reading.labels["rule"]: reading.value for reading in readings if isinstance(reading, CounterReading)}


def test_a_rule_that_was_dropped_counts_when_the_request_is_sent_to_one_of_those() -> None:
    violations, state = Violations(["locality", "gpu_type"]), CycleState()
    violations.dropped(state, ["locality"], [A, B])
    assert counts(violations) == {"locality": 0, "gpu_type": 0}
    violations.dispatched(state, decided(B))
    assert counts(violations) == {"locality": 1, "gpu_type": 0}


def test_the_first_pick_of_any_profile_counts() -> None:
    violations, state = Violations(["locality"]), CycleState()
    violations.dropped(state, ["locality"], [A, B])
    violations.dispatched(state, decided(C, ("prefill", A)))
    assert counts(violations) == {"locality": 1}


def test_a_profile_whose_candidates_went_nowhere_does_not_count() -> None:
    violations, state = Violations(["locality"]), CycleState()
    violations.dropped(state, ["locality"], [A, B])
    violations.dispatched(state, decided(C))
    assert counts(violations) == {"locality": 0}


def test_a_rule_counts_once_for_a_request_however_many_profiles_dropped_it() -> None:
    violations, state = Violations(["locality", "gpu_type"]), CycleState()
    violations.dropped(state, ["locality"], [A])
    violations.dropped(state, ["locality", "gpu_type"], [B])
    violations.dispatched(state, decided(A, ("prefill", B)))
    assert counts(violations) == {"locality": 1, "gpu_type": 1}


def test_requests_do_not_share_what_they_go_without() -> None:
    violations = Violations(["locality"])
    violations.dropped(CycleState(), ["locality"], [A])
    violations.dispatched(CycleState(), decided(A))
    assert counts(violations) == {"locality": 0}


def test_where_nothing_was_dropped_the_request_remembers_nothing() -> None:
    state = CycleState()
    Violations(["locality"]).dropped(state, [], [A])
    assert state.written() == {}
