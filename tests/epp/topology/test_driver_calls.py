import pynvml
import pytest

from turnout.epp.topology.driver_calls import NOT_SUPPORTED, GpuCalls
from turnout.plugins.topology.machine import Gap


def failing(code: int) -> int:
    raise pynvml.NVMLError(code)


def test_an_answer_is_an_answer() -> None:
    calls = GpuCalls(3)
    assert calls.ask("the sum", lambda a, b: a + b, 1, 2) == 3
    assert calls.number("the power", lambda: 0, limit=5) == 0
    assert calls.text("the name", lambda: "NVIDIA L4") == "NVIDIA L4"
    assert calls.gaps == []


@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param(pynvml.NVML_ERROR_NOT_SUPPORTED, "Not Supported", id="not on this board"),
        pytest.param(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, "Function Not Found", id="not in this driver"),
        pytest.param(pynvml.NVML_ERROR_NO_PERMISSION, "Insufficient Permissions", id="not for this user"),
        pytest.param(pynvml.NVML_ERROR_UNKNOWN, "Unknown Error", id="anything"),
    ],
)
def test_a_call_that_fails_is_a_gap_and_the_next_is_asked(code: int, why: str) -> None:
    calls = GpuCalls(3)
    assert calls.ask("the power", failing, code) is None
    assert calls.ask("the next", lambda: 1) == 1
    assert calls.gaps == [Gap(gpu=3, what="the power", why=why)]


def test_an_error_that_means_absence_is_no_gap() -> None:
    calls = GpuCalls(3)
    assert calls.ask("MIG", failing, pynvml.NVML_ERROR_NOT_SUPPORTED, absent=NOT_SUPPORTED) is None
    assert calls.gaps == []


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED])
def test_a_lost_gpu_is_not_asked_again(code: int) -> None:
    calls = GpuCalls(3)
    assert calls.ask("the power", failing, code, absent=frozenset({code})) is None
    assert calls.lost
    assert calls.ask("the next", lambda: pytest.fail("asked")) is None
    assert [gap.what for gap in calls.gaps] == ["everything else"]


def test_what_cannot_be_is_a_gap() -> None:
    calls = GpuCalls(3)
    assert calls.number("the temperature", lambda: 4_294_967_295, limit=1000) is None
    assert calls.ask("the name", b"\xff".decode) is None
    assert calls.text("the UUID", lambda: "a\x1b[31m") == "a\N{REPLACEMENT CHARACTER}[31m"
    assert [gap.why for gap in calls.gaps] == [
        "the driver says 4294967295, which cannot be",
        "the driver's text is not UTF-8",
    ]
