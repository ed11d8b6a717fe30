import pytest
import typer

from turnout.epp.cli.parameters import seconds, size_in_bytes


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param("1m30s", 90.0, id="minutes"), pytest.param("50ms", 0.05, id="milliseconds")]
)
def test_durations_are_in_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("10MiB", 10485760, id="Go, binary"),
        pytest.param("25MB", 25000000, id="Go, decimal"),
        pytest.param("4Mi", 4194304, id="Kubernetes"),
        pytest.param("100", 100, id="plain"),
    ],
)
def test_sizes_are_in_bytes(text: str, expected: int) -> None:
    assert size_in_bytes(text) == expected


@pytest.mark.parametrize(
    ("read", "text", "complaint"),
    [
        pytest.param(seconds, "5x", "'5x' is not a duration; expected a duration in Go syntax", id="duration"),
        pytest.param(seconds, "-1s", "'-1s' is negative", id="negative duration"),
        pytest.param(size_in_bytes, "many", "'many' is not a quantity; expected a quantity", id="size"),
        pytest.param(size_in_bytes, "0", "'0' is less than a byte", id="no size"),
    ],
)
def test_complaints_name_the_value_and_what_is_accepted(read: object, text: str, complaint: str) -> None:
    assert callable(read)
    with pytest.raises(typer.BadParameter) as raised:
        read(text)
    assert str(raised.value).startswith(complaint)
