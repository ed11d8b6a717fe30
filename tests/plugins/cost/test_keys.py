from turnout.framework import CycleState
from turnout.plugins.cost.keys import BUDGET_CHECK, EXPECTED_COSTS, ExpectedCosts


def test_unnamed_producers_are_those_of_the_feature() -> None:
    assert EXPECTED_COSTS.of("") is EXPECTED_COSTS.of("expected-cost-producer")
    assert BUDGET_CHECK.of("").producer == "cost-budget"


def test_costs_are_found_by_endpoint_name() -> None:
    state = CycleState()
    state.write(EXPECTED_COSTS.of(""), ExpectedCosts("USD", {"default/a": 0.25}))
    assert state.read(EXPECTED_COSTS.of("")).costs["default/a"] == 0.25
