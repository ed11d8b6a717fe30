from hypothesis import given
from hypothesis import strategies as st

from plugins.fairness.bands import head_of, waiting
from turnout.framework.testing import check_fairness
from turnout.plugins.fairness.global_strict import GlobalStrictFairnessPolicy


def test_the_best_head_of_all_flows_goes_next() -> None:
    flows = [head_of(waiting("a", 1.0), head_rank=3.0), head_of(waiting("b", 2.0), length=9, head_rank=2.0)]
    assert check_fairness(GlobalStrictFairnessPolicy(), flows, 5.0) is flows[1]


def test_of_equal_heads_the_one_that_came_first_goes_next() -> None:
    flows = [head_of(waiting("a", 2.0), head_rank=3.0), head_of(waiting("b", 1.0), head_rank=3.0)]
    assert check_fairness(GlobalStrictFairnessPolicy(), flows, 5.0) is flows[1]


@given(ranks=st.lists(st.floats(allow_nan=False), min_size=1, max_size=10))
def test_the_policy_keeps_its_contract(ranks: list[float]) -> None:
    flows = [head_of(waiting(f"f{place}", place), head_rank=rank) for place, rank in enumerate(ranks)]
    assert check_fairness(GlobalStrictFairnessPolicy(), flows, 0.0).head_rank == min(ranks)
