import pytest

from turnout.framework import Headers
from turnout.plugins.cost.budget_header import stated_budget


@pytest.mark.parametrize(
    ("headers", "budget"),
    [
        pytest.param([], None, id="none"),
        pytest.param([("x-turnout-cost-budget", "0.05")], 0.05, id="a number"),
        pytest.param([("X-Cost-Budget", " 2 ")], 2.0, id="an alias, with space around it"),
        pytest.param([("cost_budget", "1e-3")], 0.001, id="the other alias, with an exponent"),
        pytest.param([("cost_budget", "1"), ("x-turnout-cost-budget", "2")], 2.0, id="the preferred name goes first"),
        pytest.param([("x-turnout-cost-budget", "0")], 0.0, id="nothing may be spent"),
        pytest.param([("x-turnout-cost-budget", "1e308")], 1e308, id="more than there is"),
    ],
)
def test_a_client_states_a_budget(headers: list[tuple[str, str]], budget: float | None) -> None:
    assert stated_budget(Headers(headers)) == budget


@pytest.mark.parametrize("text", ["abc", "", "-1", "NaN", "inf", "1e309", "1_000", "0x10", "1,5", "9" * 65, "٣"])
def test_what_is_no_number_is_the_client_s_error(text: str) -> None:
    with pytest.raises(ValueError, match="the cost budget must be a finite number of at least 0, got "):
        stated_budget(Headers([("x-turnout-cost-budget", text)]))
