from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.config.spellings import camel_case, format_duration, parse_bool, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("200ms", 0.2),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("15us", 0.000015),
        ("15µs", 0.000015),
        ("-2m", -120.0),
        ("+3s", 3.0),
        ("2000ns", 0.000002),
    ],
)
def test_a_go_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "1.5", "s", ".s", "1 s", "1d", "1m 30s", "٣s", "9" * 99 + "s", 5, None, True]
)
def test_what_is_no_go_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_a_duration_beyond_go_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than a duration can be"):
        parse_duration("2562048h")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (0.2, "200ms"), (3600, "1h"), (1.5, "1500ms"), (-120, "-2m"), (0.000015, "15us")],
)
def test_a_duration_is_written_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.timedeltas(min_value=timedelta(days=-1000), max_value=timedelta(days=1000)))
def test_a_written_duration_reads_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("5000", 5000),
        (5000, 5000),
        ("1Gi", 1073741824),
        ("500M", 500_000_000),
        ("1k", 1000),
        ("1.5Ki", 1536),
        ("2E", 2 * 10**18),
        ("2e3", 2000),
        ("2E3", 2000),
        (1000.0, 1000),
        ("100m", 1),
        ("1u", 1),
        ("-1", -1),
        ("5.", 5),
    ],
)
def test_a_kubernetes_quantity_is_read(value: object, amount: int) -> None:
    assert parse_quantity(value) == amount


@pytest.mark.parametrize(
    "value", ["", "1 Gi", "1GiB", "Gi", "1K", "1e", "1e999", "0x1", "1_000", True, None, [], float("inf")]
)
def test_what_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(value)


def test_a_quantity_beyond_kubernetes_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than a quantity can be"):
        parse_quantity("1e99")


@pytest.mark.parametrize(("text", "value"), [("TRUE ", True), ("1", True), ("t", True), ("f", False), ("0", False)])
def test_a_boolean_is_read_as_go_does(text: str, value: bool) -> None:
    assert parse_bool(text) is value


def test_another_word_is_no_boolean() -> None:
    with pytest.raises(ValueError, match="'yes' is not a boolean"):
        parse_bool("yes")


@pytest.mark.parametrize(
    ("snake", "camel"), [("seed", "seed"), ("max_num_of_endpoints", "maxNumOfEndpoints"), ("mm_timeout", "mmTimeout")]
)
def test_a_name_is_spelled_in_camel_case(snake: str, camel: str) -> None:
    assert camel_case(snake) == camel
