import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.topology import dcgm
from turnout.plugins.topology.dcgm import parse_dcgm
from turnout.plugins.topology.keys import GpuState

MIB = 2**20

# In the exporter's documented format; values invented.
PAGE = b"""\
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-0",device="nvidia0",Hostname="n1",namespace="default",pod="vllm-0"} 87
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-1",device="nvidia1",Hostname="n1",namespace="default",pod="vllm-0"} 13
DCGM_FI_DEV_GPU_UTIL{gpu="3",UUID="GPU-3",device="nvidia3",Hostname="n1"} 9223372036854775794
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-0",Hostname="n1",namespace="default",pod="vllm-0"} 61440
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-1",Hostname="n1",namespace="default",pod="vllm-0"} 1024
DCGM_FI_DEV_FB_USED{gpu="2",UUID="GPU-2",GPU_I_PROFILE="3g.40gb",GPU_I_ID="1",pod="vllm-1",namespace="default"} 100
# TYPE DCGM_FI_DEV_FB_FREE gauge
DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-0",Hostname="n1",namespace="default",pod="vllm-0"} 20480
DCGM_FI_DEV_FB_FREE{gpu="1",UUID="GPU-1",Hostname="n1",namespace="default",pod="vllm-0"} 80896
DCGM_FI_DEV_FB_FREE{gpu="2",UUID="GPU-2",GPU_I_PROFILE="3g.40gb",GPU_I_ID="1",pod="vllm-1",namespace="default"} 900
# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="2",UUID="GPU-2",GPU_I_PROFILE="3g.40gb",GPU_I_ID="1",exported_pod="vllm-1"} 0.5
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-0"} 350
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-1"} 630
# TYPE DCGM_FI_DEV_POWER_MGMT_LIMIT gauge
DCGM_FI_DEV_POWER_MGMT_LIMIT{gpu="0",UUID="GPU-0"} 700
DCGM_FI_DEV_POWER_MGMT_LIMIT{gpu="1",UUID="GPU-1"} 700
# TYPE DCGM_FI_DEV_CLOCK_THROTTLE_REASONS gauge
DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu="1",UUID="GPU-1"} 36
"""


def test_an_endpoint_s_gpus_are_those_of_its_pod() -> None:
    page = parse_dcgm(PAGE)
    assert (page.indices_of("default/vllm-0"), page.profiles_of("default/vllm-0")) == ((0, 1), ())
    assert (page.indices_of("default/vllm-1"), page.profiles_of("default/vllm-1")) == ((2,), ("3g.40gb",))
    assert page.indices_of("default/vllm-9") == ()


BOTH = GpuState(101376 * MIB, 163840 * MIB, 0.5, 0.9, frozenset({"power", "thermal"}))


@pytest.mark.parametrize(
    ("owner", "indices", "profiles", "expected"),
    [
        pytest.param("default/vllm-0", (), (), BOTH, id="by its pod"),
        pytest.param("default/x", (0, 1), (), BOTH, id="by its GPUs"),
        pytest.param("default/vllm-1", (), (), GpuState(900 * MIB, 1000 * MIB, 0.5), id="a slice by its pod"),
        pytest.param("default/x", (2,), ("3g.40gb",), GpuState(900 * MIB, 1000 * MIB, 0.5), id="a slice by its GPU"),
        pytest.param("default/x", (3,), (), None, id="a value that there is none of"),
        pytest.param("default/x", (7,), (), None, id="no such GPU"),
        pytest.param("default/x", (2,), ("1g.10gb",), None, id="no such slice"),
    ],
)
def test_the_state_is_that_of_the_endpoint_s_part(
    owner: str, indices: tuple[int, ...], profiles: tuple[str, ...], expected: GpuState | None
) -> None:
    assert parse_dcgm(PAGE).state(owner, indices, profiles) == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b'DCGM_FI_DEV_GPU_UTIL{gpu="\xff"} 1', "it is not UTF-8", id="no text"),
        pytest.param(b'DCGM_FI_DEV_GPU_UTIL{gpu="0"} many', "could not convert", id="a word for a number"),
        pytest.param(b"<html><body>502</body></html>", "it has no metric of DCGM", id="a page for people"),
        pytest.param(
            b'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 1 ' + b"9" * 400,
            "it is no page of metrics: OverflowError",
            id="a late time",
        ),
        pytest.param(
            b'DCGM_FI_DEV_GPU_UTIL{gpu="0",x="' + b'\\"' * 5_000 + b'"} 1',
            "a row has 10036 bytes, more than 4096",
            id="a row whose parsing would take long",
        ),
        pytest.param(b"up 1", "it has no metric of DCGM", id="the page of another exporter"),
    ],
)
def test_a_page_that_is_none_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_dcgm(content)


def test_a_page_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcgm, "MAX_ROWS", 3)
    with pytest.raises(ValueError, match="more than 3 rows"):
        parse_dcgm(PAGE)


@pytest.mark.parametrize("gpu", ["-1", "x", "4096", "", "²"])
def test_a_gpu_that_cannot_be_is_left_out(gpu: str) -> None:
    assert parse_dcgm(f'DCGM_FI_DEV_GPU_UTIL{{gpu="{gpu}"}} 1\n'.encode()).gpus == ()


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_page_can_do_harm(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(parse_dcgm(content + b'\nDCGM_FI_DEV_GPU_UTIL{gpu="0"} 1\n').gpus) >= 1


def test_the_exporter_s_documented_format_is_read() -> None:
    sample = Path(__file__).parent / "samples" / "dcgm-exporter.txt"
    page = parse_dcgm(sample.read_bytes())
    state = page.state("default/vllm-0", (), ())
    assert state is not None
    assert (state.utilization, state.memory_free) == (0.87, 19456 * MIB)
    assert page.profiles_of("default/vllm-1") == ("3g.40gb",)
    assert page.state("default/vllm-1", (), ()) == GpuState(utilization=0.412)
