import pytest

from plugins.autoscaling.loads import StatedLoad
from turnout.framework import Endpoint
from turnout.framework.testing import make_endpoint
from turnout.plugins.autoscaling.groups import MAX_GROUPS, Arrivals, Groups, rate_of, shares_of_waiting


def endpoint(name: str, model: str | None = None) -> Endpoint:
    return make_endpoint(name, labels={} if model is None else {"model": model})


POOL = [endpoint("a", "x"), endpoint("b", "y"), endpoint("c", "y"), endpoint("d")]


def members(groups: Groups, pool: list[Endpoint], now: float = 0.0) -> dict[str, str]:
    found = groups.update(pool, now)
    return {group.name: "".join(one.name[-1] for one in group.endpoints) for group in found}


def test_without_a_label_the_pool_is_one_group_even_while_it_is_empty() -> None:
    assert members(Groups(""), POOL) == {"": "abcd"}
    assert members(Groups(""), []) == {"": ""}


def test_endpoints_with_one_value_are_a_group_and_those_without_the_label_one_more() -> None:
    assert members(Groups("model"), POOL) == {"": "d", "x": "a", "y": "bc"}


def test_a_group_without_endpoints_is_kept_for_an_hour() -> None:
    groups = Groups("model")
    members(groups, POOL, 0.0)
    assert members(groups, POOL[1:3], 3_599.0) == {"": "", "x": "", "y": "bc"}
    assert members(groups, POOL[1:3], 3_600.0) == {"y": "bc"}


def test_a_group_that_is_stated_is_there_without_endpoints_and_stays() -> None:
    groups = Groups("model", ["x", "z"])
    assert members(groups, [], 0.0) == {"x": "", "z": ""}
    members(groups, POOL, 1.0)
    assert members(groups, [], 1e6) == {"x": "", "z": ""}


@pytest.mark.parametrize(
    ("label", "stated"),
    [
        pytest.param("", ["x"], id="without a label"),
        pytest.param("model", ["x", ""], id="one without a name"),
        pytest.param("model", [str(number) for number in range(65)], id="too many"),
    ],
)
def test_groups_that_make_no_sense_are_refused(label: str, stated: list[str]) -> None:
    with pytest.raises(ValueError, match="groups must be at most 64 values of group_label, none of them empty, got"):
        Groups(label, stated)


def test_of_too_many_groups_those_that_were_there_first_stay() -> None:
    groups = Groups("model")
    members(groups, POOL)
    many = [endpoint(f"e{number:03}", f"m{number:03}") for number in range(100)]
    found = members(groups, many)
    assert len(found) == MAX_GROUPS
    assert {"", "x", "y", "m000", "m060"} <= set(found)
    assert groups.left_out == 39


@pytest.mark.parametrize(
    ("waiting", "shares"),
    [
        pytest.param({"other": 300}, {"": 75.0, "x": 75.0, "y": 150.0}, id="by the number of endpoints"),
        pytest.param({"x": 300, "": 40}, {"": 10.0, "x": 310.0, "y": 20.0}, id="the model of a group is its own"),
        pytest.param({}, {"": 0.0, "x": 0.0, "y": 0.0}, id="nothing waits"),
    ],
)
def test_what_waits_is_shared_out(waiting: dict[str, int], shares: dict[str, float]) -> None:
    assert shares_of_waiting(Groups("model").update(POOL, 0.0), StatedLoad(waiting=waiting)) == shares


def test_while_nobody_is_there_what_waits_is_shared_out_evenly() -> None:
    groups = Groups("model")
    groups.update(POOL, 0.0)
    assert shares_of_waiting(groups.update([], 1.0), StatedLoad(waiting={"z": 30})) == {"": 10.0, "x": 10.0, "y": 10.0}


def test_the_rate_is_the_mean_or_what_is_assumed_of_an_unknown_endpoint() -> None:
    load = StatedLoad(rate=500.0, rates={"default/a": 1_000.0, "default/b": 3_000.0})
    assert (rate_of(POOL[:2], load), rate_of([], load)) == (2_000.0, 500.0)


def test_arrivals_follow_a_total_within_about_a_minute() -> None:
    arrivals = Arrivals()
    for second in range(0, 301, 2):
        arrivals.see({"a": second * 700, "b": second * 300}, float(second))
    assert arrivals.per_second == pytest.approx(1_000.0, rel=0.01)


def test_an_endpoint_that_starts_anew_or_goes_does_not_count_backwards() -> None:
    arrivals = Arrivals()
    for now, totals in enumerate(({"a": 1_000_000}, {"a": 100}, {}, {"b": 50}, {"b": 50})):
        arrivals.see(totals, float(now))
        assert 0.0 <= arrivals.per_second < 10.0
    arrivals.see({"b": 10_000}, 4.0)
    assert arrivals.per_second < 10.0
