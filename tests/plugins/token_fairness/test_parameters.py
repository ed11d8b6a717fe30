import math
from datetime import timedelta

import pytest

from turnout.plugins.token_fairness.deficit_longest_prefix import DeficitLongestPrefixFairnessPolicy
from turnout.plugins.token_fairness.longest_prefix_ordering import LongestPrefixOrderingPolicy
from turnout.plugins.token_fairness.parameters import CostParameters, within
from turnout.plugins.token_fairness.token_fairness import TokenFairnessPolicy


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": {"a": 1.0, "b": 0.0}}, r"weights of 'b' must be within \[1e-06, 1000000.0\], got 0.0"),
        ({"weights": {"b": math.nan}}, "weights of 'b' must be within"),
        ({"default_weight": -1.0}, "default_weight must be within"),
        ({"default_weight": math.inf}, "default_weight must be within"),
        ({"output_weight": -0.1}, r"output_weight must be within \[0.0, 1000.0\], got -0.1"),
        ({"expected_output_tokens": -1}, "expected_output_tokens must be within"),
        ({"max_tenants": 0}, "max_tenants must be within"),
    ],
)
def test_a_policy_of_fairness_by_cost_says_which_parameter_is_out_of_range(
    parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TokenFairnessPolicy(**parameters)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        DeficitLongestPrefixFairnessPolicy(**parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"block_bytes": 15}, r"block_bytes must be within \[16, 1048576\], got 15"),
        ({"max_blocks": 0}, "max_blocks must be within"),
        ({"known_blocks": 0}, "known_blocks must be within"),
    ],
)
def test_a_policy_of_prefixes_says_which_parameter_is_out_of_range(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeficitLongestPrefixFairnessPolicy(**parameters)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        LongestPrefixOrderingPolicy(**parameters)  # type: ignore[arg-type]


def test_a_quantum_is_at_least_one_token() -> None:
    with pytest.raises(ValueError, match="quantum must be within"):
        DeficitLongestPrefixFairnessPolicy(quantum=0)


@pytest.mark.parametrize("seconds", [-1.0, 3601.0])
def test_an_advance_is_at_most_an_hour(seconds: float) -> None:
    with pytest.raises(ValueError, match=rf"max_advance must be within \[0.0, 3600.0\], got {seconds}"):
        LongestPrefixOrderingPolicy(timedelta(seconds=seconds))


def test_bounds_are_within() -> None:
    within("x", 1.0, 1.0, 2.0)
    within("x", 2.0, 1.0, 2.0)


def test_a_tenant_without_a_weight_of_its_own_has_the_default() -> None:
    parameters = CostParameters({"a": 3.0}, 2.0)
    assert (parameters.weight_of("a"), parameters.weight_of("b")) == (3.0, 2.0)
