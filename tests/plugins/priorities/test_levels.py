from collections.abc import Mapping
from datetime import timedelta

import pytest

from turnout.framework import Classification
from turnout.plugins.priorities.levels import DEFAULT_LEVELS, LevelTable, PriorityLevel

TABLE = LevelTable(DEFAULT_LEVELS)


def test_there_are_five_levels_unless_others_are_configured() -> None:
    assert {name: TABLE.priority(name) for name in TABLE} == {
        "critical": 100,
        "high": 50,
        "normal": 0,
        "low": -50,
        "background": -100,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("high", "high", id="as it is configured"),
        pytest.param("HIGH", "high", id="in capitals"),
        pytest.param("Medium", "normal", id="another word for normal"),
        pytest.param("", None, id="nothing"),
        pytest.param(" high", None, id="with a space"),
        pytest.param("50", None, id="a number in a text"),
        pytest.param("high" * 250_000, None, id="a million characters"),
        pytest.param("\udcff", None, id="what was no UTF-8"),
    ],
)
def test_levels_are_found_by_name(text: str, expected: str | None) -> None:
    assert TABLE.named(text) == expected


@pytest.mark.parametrize(("priority", "expected"), [(100, "critical"), (-50, "low"), (99, None), (10**100, None)])
def test_levels_are_found_by_their_exact_priority(priority: int, expected: str | None) -> None:
    assert TABLE.of_priority(priority) == expected


def test_configured_levels_keep_their_spelling_and_their_own_medium() -> None:
    table = LevelTable({"Gold": PriorityLevel(7), "MEDIUM": PriorityLevel(3), "normal": PriorityLevel(3)})
    assert (table.named("gold"), table.named("medium"), table.of_priority(3)) == ("Gold", "MEDIUM", "MEDIUM")
    assert LevelTable({"gold": PriorityLevel(1)}).named("medium") is None


def test_a_level_says_what_its_requests_are() -> None:
    level = PriorityLevel(5, timedelta(seconds=2), timedelta(milliseconds=40))
    assert LevelTable({"gold": level}).classification("gold") == Classification(5, "gold", None, 2.0, 0.04)
    assert TABLE.classification("low") == Classification(-50, "low")


def test_a_level_that_another_parameter_names_must_exist() -> None:
    assert TABLE.referred_to("default", "NORMAL") == "normal"
    with pytest.raises(ValueError, match="default must be one of critical, high, normal, low, background, got 'gold'"):
        TABLE.referred_to("default", "gold")


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        pytest.param({}, "levels must have at least one level, got none", id="none"),
        pytest.param({"": PriorityLevel(0)}, "levels must have names of 1 to 64 characters, got ''", id="no name"),
        pytest.param({"x" * 65: PriorityLevel(0)}, "levels must have names of 1 to 64 characters", id="a long name"),
        pytest.param(
            {"gold": PriorityLevel(0), "Gold": PriorityLevel(1)},
            "levels must have names that differ not only in case, got 'gold' and 'Gold'",
            id="two that differ in case",
        ),
    ],
)
def test_levels_that_cannot_be_told_apart_are_refused(levels: Mapping[str, PriorityLevel], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LevelTable(levels)


def test_a_level_has_ranges() -> None:
    with pytest.raises(ValueError, match="priority must be within"):
        PriorityLevel(-(2**31) - 1)
    with pytest.raises(ValueError, match="ttft_target must be positive, got 0:00:00"):
        PriorityLevel(0, timedelta())
    with pytest.raises(ValueError, match="tpot_target must be positive, got 0:00:00"):
        PriorityLevel(0, None, timedelta())
