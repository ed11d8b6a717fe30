import pytest

from turnout.framework import Usage
from turnout.plugins.token_fairness.costs import Costs
from turnout.plugins.token_fairness.parameters import CostParameters


@pytest.mark.parametrize(
    ("prompt_tokens", "limit", "cost"),
    [
        pytest.param(100, None, 612.0, id="what is expected without a limit"),
        pytest.param(100, 50, 200.0, id="the limit below that"),
        pytest.param(100, 5000, 612.0, id="a high limit is a permission and no forecast"),
        pytest.param(100, 0, 100.0, id="no output"),
        pytest.param(100, -5, 100.0, id="less than no output"),
        pytest.param(0, 0, 1.0, id="nothing costs a token, too"),
        pytest.param(-7, 0, 1.0, id="a negative prompt is none"),
        pytest.param(10**400, 10**400, 100_000_512.0, id="more than any context holds"),
    ],
)
def test_an_estimate_before_anything_is_known_of_the_tenant(prompt_tokens: int, limit: int | None, cost: float) -> None:
    assert Costs(CostParameters()).estimated("a", prompt_tokens, limit) == cost


def test_expected_output_is_the_mean_of_the_tenants_own_answers() -> None:
    costs = Costs(CostParameters())
    for answer in (10, 20, 60):
        costs.learn("a", Usage(100, answer))
    assert costs.estimated("a", 100, None) == 160.0
    assert costs.estimated("a", 100, 20) == 140.0
    assert costs.estimated("b", 100, None) == 612.0


def test_old_answers_fade() -> None:
    costs = Costs(CostParameters())
    for answer in (*[0] * 500, 320):
        costs.learn("a", Usage(0, answer))
    assert costs.estimated("a", 0, None) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("usage", "counting_cached", "cost"),
    [
        pytest.param(Usage(100, 50), True, 200.0, id="input and twice the output"),
        pytest.param(Usage(100, 50, 80), True, 200.0, id="cached input counts"),
        pytest.param(Usage(100, 50, 80), False, 120.0, id="unless it is switched off"),
        pytest.param(Usage(100, 50, None), False, 200.0, id="the engine does not say what was cached"),
        pytest.param(Usage(100, 50, 900), False, 100.0, id="more cached than there was"),
        pytest.param(Usage(100, 50, -900), False, 200.0, id="less than nothing cached"),
        pytest.param(Usage(0, 0), True, 1.0, id="nothing costs a token, too"),
        pytest.param(Usage(-100, -50), True, 1.0, id="less than nothing"),
        pytest.param(Usage(10**400, 10**400), True, 300_000_000.0, id="more than any context holds"),
    ],
)
def test_the_real_cost(usage: Usage, counting_cached: bool, cost: float) -> None:
    assert Costs(CostParameters(count_cached_tokens=counting_cached)).real(usage) == cost


def test_an_absurd_answer_does_not_break_the_mean() -> None:
    costs = Costs(CostParameters())
    costs.learn("a", Usage(0, 10**400))
    costs.learn("a", Usage(0, -(10**400)))
    assert costs.estimated("a", 0, None) == 100_000_000.0


def test_the_means_of_so_many_tenants_are_remembered_that_answered_last() -> None:
    costs = Costs(CostParameters(max_tenants=2))
    for tenant in ("a", "b", "a", "c"):
        costs.learn(tenant, Usage(0, 10))
    assert [costs.estimated(tenant, 0, None) for tenant in "abc"] == [20.0, 512.0, 20.0]
