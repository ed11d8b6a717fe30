from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import pytest

from config.fakes import FirstPicker, Limits, QueueScorer, Rule, RuleFilter
from turnout.config.document import Value
from turnout.config.parameters import UnreadableParametersError, parameters_of
from turnout.config.problems import Report
from turnout.framework import Quantity, WallClock

CLOCK = WallClock(5.0)


NO_RATE = Quantity(0)


class Mode(StrEnum):
    FAST = "fast"
    SLOW = "slow"


class Many:
    def __init__(
        self,
        *,
        mode: Mode = Mode.FAST,
        names: frozenset[str] = frozenset(),
        pair: tuple[int, str] = (1, "a"),
        either: int | str = 5,
        copy: Mapping[str, list[float]] | None = None,
        every: timedelta | None = None,
        rate: Quantity = NO_RATE,
    ) -> None:
        self.mode = mode


def arguments(plugin_type: Callable[..., object], given: Value) -> tuple[dict[str, object] | None, list[str]]:
    report = Report({})
    found = parameters_of(plugin_type).arguments(given, "mine", CLOCK, report, ("p",))
    return found, [str(problem).removeprefix("1: ") for problem in report.problems]


def test_nested_dataclasses_durations_and_the_name_reach_the_constructor() -> None:
    given: Value = {
        "rules": [{"key": "a", "values": ["x"]}, {"key": "b", "operator": "NotIn"}],
        "maxTTFTPenaltyMs": 5,
        "limits": {"timeLimit": "1m", "retries": 2},
        "labels": {"zone": "a"},
    }
    found, problems = arguments(RuleFilter, given)
    assert problems == []
    assert found == {
        "name": "mine",
        "rules": (Rule("a", "In", ("x",)), Rule("b", "NotIn")),
        "max_ttft_penalty_ms": 5.0,
        "limits": Limits(timedelta(minutes=1), 2),
        "labels": {"zone": "a"},
    }


def test_the_clock_reaches_the_constructor_and_is_no_parameter_of_the_file() -> None:
    class Hourly:
        def __init__(self, clock: WallClock, hour: int = 3) -> None:
            self.clock = clock

    found, problems = arguments(Hourly, {"hour": 4})
    assert problems == []
    assert found == {"clock": CLOCK, "hour": 4}
    assert parameters_of(Hourly).names == ["hour"]
    assert parameters_of(Hourly).spelled({"clock": CLOCK, "hour": 4}) == {"hour": 4}


def test_every_kind_of_type_is_translated() -> None:
    given: Value = {
        "mode": "slow",
        "names": ["a", "b"],
        "pair": [2, "b"],
        "either": "x",
        "copy": {"k": [1]},
        "every": "2s",
        "rate": "600Gi",
    }
    found, problems = arguments(Many, given)
    assert problems == []
    assert found == {
        "mode": Mode.SLOW,
        "names": frozenset({"a", "b"}),
        "pair": (2, "b"),
        "either": "x",
        "copy": {"k": (1.0,)},
        "every": timedelta(seconds=2),
        "rate": 644_245_094_400,
    }


@pytest.mark.parametrize(
    ("plugin_type", "given", "problem"),
    [
        pytest.param(
            FirstPicker,
            {"maxNumOfEndpoints": 1.0},
            "p.maxNumOfEndpoints: is 1.0; accepted: a whole number",
            id="a float for an int",
        ),
        pytest.param(
            Many,
            {"rate": "600 Gi"},
            "p.rate: '600 Gi' is not a quantity; a quantity in Kubernetes syntax, such as 5000, 500M or 1Gi",
            id="a unit that is none",
        ),
        pytest.param(
            Many, {"rate": "-1Gi"}, "p.rate: '-1Gi' is negative; accepted: 0 or more", id="a negative quantity"
        ),
        pytest.param(
            FirstPicker,
            {"maxNumOfEndpoints": True},
            "p.maxNumOfEndpoints: is true; accepted: a whole number",
            id="a boolean for an int",
        ),
        pytest.param(
            FirstPicker,
            {"maxNumOfEndpoints": "1"},
            "p.maxNumOfEndpoints: is '1'; accepted: a whole number",
            id="text for an int",
        ),
        pytest.param(
            FirstPicker,
            {"maxNumOfEndpoint": 1},
            "p.maxNumOfEndpoint: unknown field; did you mean 'maxNumOfEndpoints'? accepted: maxNumOfEndpoints",
            id="a misspelt name",
        ),
        pytest.param(
            FirstPicker,
            {"max_num_of_endpoints": 1},
            "p.max_num_of_endpoints: unknown field; did you mean 'maxNumOfEndpoints'? accepted: maxNumOfEndpoints",
            id="the Python spelling",
        ),
        pytest.param(
            FirstPicker,
            [1],
            "p: is not a mapping; accepted: a mapping from parameter to value",
            id="a list of parameters",
        ),
        pytest.param(
            QueueScorer, {"a": 1}, "p: the plugin accepts no parameters; remove them", id="parameters for none"
        ),
        pytest.param(
            RuleFilter,
            {},
            "p: the required field 'rules' is missing; accepted: labels, limits, maxTtftPenaltyMs, rules",
            id="a required parameter",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [], "name": "x"},
            "p.name: unknown field; accepted: labels, limits, maxTtftPenaltyMs, rules",
            id="the name is not a parameter",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [], "hidden": 1},
            "p.hidden: unknown field; accepted: labels, limits, maxTtftPenaltyMs, rules",
            id="a type that YAML cannot express",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [{"key": ""}]},
            "p.rules[0]: key must not be empty",
            id="a nested constructor's refusal",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [{"key": "a", "atMost": -1}]},
            "p.rules[0]: atMost must be at least 0, got -1",
            id="a nested constructor's refusal, spelled as in the document",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [{"key": "a", "operator": "Out"}]},
            "p.rules[0].operator: 'Out' is not accepted; accepted: 'In' or 'NotIn'",
            id="a word that is not listed",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [{"key": "a", "vaules": []}]},
            "p.rules[0].vaules: unknown field; did you mean 'values'? accepted: atMost, key, operator, values",
            id="a misspelt nested name",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [], "limits": {"timeLimit": 5}},
            "p.limits.timeLimit: 5 is not a duration; a duration in Go syntax, such as 200ms, 30s or 1m30s",
            id="a number for a duration",
        ),
        pytest.param(
            RuleFilter,
            {"rules": [], "maxTtftPenaltyMs": float("nan")},
            "p.maxTtftPenaltyMs: is nan; accepted: a finite number",
            id="not a number",
        ),
        pytest.param(RuleFilter, {"rules": [], "RULES": []}, "p: rules is given twice", id="two spellings of one name"),
        pytest.param(
            Many, {"either": 1.5}, "p.either: is 1.5; accepted: a whole number or text", id="neither type of a union"
        ),
        pytest.param(
            Many,
            {"mode": "medium"},
            "p.mode: 'medium' is not accepted; accepted: 'fast' or 'slow'",
            id="no member of an enum",
        ),
        pytest.param(Many, {"names": "a"}, "p.names: is 'a'; accepted: a list", id="text for a set"),
    ],
)
def test_a_parameter_that_does_not_fit_is_a_problem(
    plugin_type: Callable[..., object], given: Value, problem: str
) -> None:
    found, problems = arguments(plugin_type, given)
    assert found is None
    assert problems == [problem]


def test_arguments_are_spelled_where_yaml_can_express_them() -> None:
    many, rules = parameters_of(Many), parameters_of(RuleFilter)
    assert many.spelled(many.defaults) == {"mode": "fast", "pair": [1, "a"], "either": 5, "rate": 0}
    found, problems = arguments(RuleFilter, {"rules": [{"key": "a"}], "limits": {"retries": 2}})
    assert (problems, rules.spelled(found or {})) == (
        [],
        {
            "rules": [{"key": "a", "operator": "In", "values": [], "atMost": 9}],
            "maxTtftPenaltyMs": 18000.0,
            "limits": {"timeLimit": "5s", "retries": 2},
        },
    )


@dataclass
class Recursive:
    inner: "Recursive | None" = None


class NeedsCallable:
    def __init__(self, clock: Callable[[], float]) -> None:
        pass


class Untyped:
    def __init__(self, size) -> None:  # type: ignore[no-untyped-def]
        pass


class Unresolved:
    def __init__(self, size: "NoSuchName") -> None:  # type: ignore[name-defined]  # noqa: F821
        pass


class Positional:
    def __init__(self, size: int, /) -> None:
        pass


class NeedsRecursive:
    def __init__(self, tree: Recursive) -> None:
        pass


class Listed:
    def __init__(self, sizes: Sequence[object]) -> None:
        pass


@pytest.mark.parametrize(
    ("plugin_type", "problem"),
    [
        (NeedsCallable, "parameter 'clock' has no type that YAML can express"),
        (Untyped, "parameter 'size' has no type that YAML can express"),
        (Unresolved, "an annotation of the constructor cannot be resolved"),
        (Positional, "parameter 'size' cannot be given by name"),
        (NeedsRecursive, "parameter 'tree' has no type that YAML can express"),
        (Listed, "parameter 'sizes' has no type that YAML can express"),
    ],
)
def test_a_constructor_that_yaml_cannot_call_is_refused(plugin_type: Callable[..., object], problem: str) -> None:
    with pytest.raises(UnreadableParametersError, match=problem):
        parameters_of(plugin_type)
