"""The tables of every double, literally: what a person sees is what the machine's description says."""

from collections.abc import Callable

import pytest

from docs.blocks import blocks_of
from turnout.epp.topology.tables import _gaps, _ranges
from turnout.plugins.topology.machine import Gap

EIGHT_H100_WITH_NVSWITCH = """\
worker-7: 8 x NVIDIA H100 80GB HBM3, NVIDIA driver 580.82.07

        GPU0  GPU1  GPU2  GPU3  GPU4  GPU5  GPU6  GPU7  CPUs    NUMA nodes
  GPU0     X  NV18  NV18  NV18  NV18  NV18  NV18  NV18  0-51    0
  GPU1  NV18     X  NV18  NV18  NV18  NV18  NV18  NV18  0-51    0
  GPU2  NV18  NV18     X  NV18  NV18  NV18  NV18  NV18  0-51    0
  GPU3  NV18  NV18  NV18     X  NV18  NV18  NV18  NV18  0-51    0
  GPU4  NV18  NV18  NV18  NV18     X  NV18  NV18  NV18  52-103  1
  GPU5  NV18  NV18  NV18  NV18  NV18     X  NV18  NV18  52-103  1
  GPU6  NV18  NV18  NV18  NV18  NV18  NV18     X  NV18  52-103  1
  GPU7  NV18  NV18  NV18  NV18  NV18  NV18  NV18     X  52-103  1
   NV#  so many NVLinks, with or without a switch between

GPUs
  GPU  name                       memory used  busy        power  temp  PCIe   NVLinks               socket  state
    0  NVIDIA H100 80GB HBM3  68.4 / 79.6 GiB   97%  655 / 700 W  61 C  5 x16  18 x 26.6 GB/s (4.0)       0  slow: power
    1  NVIDIA H100 80GB HBM3  68.4 / 79.6 GiB   97%  655 / 700 W  61 C  5 x16  18 x 26.6 GB/s (4.0)       0  slow: power
    2  NVIDIA H100 80GB HBM3   0.0 / 79.6 GiB    0%   71 / 700 W  29 C  5 x16  18 x 26.6 GB/s (4.0)       0  ok
    3  NVIDIA H100 80GB HBM3   0.0 / 79.6 GiB    0%   71 / 700 W  29 C  5 x16  18 x 26.6 GB/s (4.0)       0  ok
    4  NVIDIA H100 80GB HBM3   0.0 / 79.6 GiB    0%   71 / 700 W  29 C  5 x16  18 x 26.6 GB/s (4.0)       1  ok
    5  NVIDIA H100 80GB HBM3   0.0 / 79.6 GiB    0%   71 / 700 W  29 C  5 x16  18 x 26.6 GB/s (4.0)       1  ok
    6  NVIDIA H100 80GB HBM3   0.0 / 79.6 GiB    0%   71 / 700 W  29 C  5 x16  18 x 26.6 GB/s (4.0)       1  ok
    7  NVIDIA H100 80GB HBM3   0.0 / 79.6 GiB    0%   71 / 700 W  29 C  5 x16  18 x 26.6 GB/s (4.0)       1  ok

Processes
  GPU  GI   PID    memory
    0   -  4242  67.4 GiB
    1   -  4242  67.4 GiB
"""

FOUR_A100_IN_PAIRS = """\
worker-7: 4 x NVIDIA A100 80GB PCIe, NVIDIA driver 470.256.02

        GPU0  GPU1  GPU2  GPU3  CPUs    NUMA nodes
  GPU0     X  NV12   SYS   SYS  0-63    0
  GPU1  NV12     X   SYS   SYS  0-63    0
  GPU2   SYS   SYS     X  NV12  64-127  1
  GPU3   SYS   SYS  NV12     X  64-127  1
   NV#  so many NVLinks, with or without a switch between
   SYS  from one NUMA node to another

GPUs
  GPU  name                      memory used  busy       power  temp  PCIe   NVLinks               socket  state
    0  NVIDIA A100 80GB PCIe  0.5 / 80.0 GiB    0%  48 / 300 W  35 C  4 x16  12 x 25.0 GB/s (3.1)       0  ok
    1  NVIDIA A100 80GB PCIe  1.5 / 80.0 GiB   10%  48 / 300 W  36 C  4 x16  12 x 25.0 GB/s (3.1)       0  ok
    2  NVIDIA A100 80GB PCIe  2.5 / 80.0 GiB   20%  48 / 300 W  37 C  4 x16  12 x 25.0 GB/s (3.1)       1  ok
    3  NVIDIA A100 80GB PCIe  3.5 / 80.0 GiB   30%  48 / 300 W  38 C  4 x16  12 x 25.0 GB/s (3.1)       1  ok
"""

FOUR_L4_WITHOUT_NVLINK = """\
worker-7: 4 x NVIDIA L4, NVIDIA driver 580.82.07

        GPU0  GPU1  GPU2  GPU3  CPUs  NUMA nodes
  GPU0     X   PIX   PHB  NODE  0-63  0
  GPU1   PIX     X   PXB  NODE  0-63  0
  GPU2   PHB   PXB     X  NODE  0-63  0
  GPU3  NODE  NODE  NODE     X  0-63  0-1
   PIX  one PCIe switch at most
   PXB  several PCIe switches, no host bridge
   PHB  a PCIe host bridge (the CPU)
  NODE  several host bridges of one NUMA node

GPUs
  GPU  name           memory used  busy      power  temp  PCIe           NVLinks  socket  state
    0  NVIDIA L4  21.5 / 22.5 GiB   50%  72 / 72 W  83 C  4 x16          -             0  slow: power thermal
    1  NVIDIA L4  21.5 / 22.5 GiB   50%  72 / 72 W  83 C  4 x16          -             0  slow: power thermal
    2  NVIDIA L4  21.5 / 22.5 GiB   50%  72 / 72 W  83 C  4 x8 (of x16)  -             0  slow: power thermal
    3  NVIDIA L4  21.5 / 22.5 GiB   50%  72 / 72 W  83 C  4 x16          -             0  slow: power thermal
"""

AN_A100_IN_SLICES = """\
worker-7: 2 x NVIDIA A100-SXM4-40GB, NVIDIA driver 580.82.07

        GPU0  GPU1  CPUs  NUMA nodes
  GPU0     X   PXB  0-31  0
  GPU1   PXB     X  0-31  0
   PXB  several PCIe switches, no host bridge

GPUs
  GPU  name                       memory used  busy       power  temp  PCIe   NVLinks  socket  state
    0  NVIDIA A100-SXM4-40GB  14.7 / 40.0 GiB     -  50 / 400 W  40 C  4 x16  -             0  MIG
    1  NVIDIA A100-SXM4-40GB   0.0 / 40.0 GiB    3%  50 / 400 W  40 C  4 x16  -             0  ok

MIG instances
  GPU  instance  profile         memory used  GI  CI  UUID
    0         0  3g.20gb     14.6 / 19.5 GiB   1   0  MIG-00000000-0000-0000-0000-000000000001
    0         1  1c.2g.10gb    0.0 / 9.8 GiB   5   0  MIG-00000000-0000-0000-0000-000000000002
    0         2  1g.5gb        0.0 / 4.8 GiB  13   0  MIG-00000000-0000-0000-0000-000000000003
    0         3  1g.5gb+me     0.0 / 4.8 GiB  14   0  MIG-00000000-0000-0000-0000-000000000004

Processes
  GPU  GI  PID    memory
    0   1   77  15.0 GiB
    0  13   78         -

Missing
  GPU 0: MIG instance 4: it went away while it was read
"""

A_BROKEN_MACHINE = """\
worker-7: 5 x NVIDIA A100 80GB PCIe, NVIDIA driver 580.82.07

        GPU0  GPU1  GPU2  GPU3  GPU4  CPUs  NUMA nodes
  GPU0     X  NV10     ?     ?   SYS  -     0
  GPU1  NV10     X     ?     ?   SYS  0-31  0
  GPU2     ?     ?     X     ?     ?  -     -
  GPU3     ?     ?     ?     X     ?  0-31  0
  GPU4   SYS   SYS     ?     ?     X  0-31  0
   NV#  so many NVLinks, with or without a switch between
   SYS  from one NUMA node to another
     ?  unknown

GPUs
  GPU  name                      memory used  busy       power  temp  PCIe   NVLinks                       socket  state
    0  NVIDIA A100 80GB PCIe  0.0 / 80.0 GiB     -   - / 400 W     -  4 x16  10 x 25.0 GB/s (3.1), 2 down       -  ok
    1  NVIDIA A100 80GB PCIe  0.0 / 80.0 GiB    0%    50 / - W  40 C  -      12 x 25.0 GB/s (3.1)               0  ok
    2  -                                   -     -           -     -  -      -                                  -  LOST
    3  NVIDIA A100 80GB PCIe  0.0 / 80.0 GiB    0%           -  40 C  4 x16  1 x 25.0 GB/s (3.1)                0  LOST
    4  NVIDIA A100 80GB PCIe  0.0 / 80.0 GiB    0%  50 / 400 W  40 C  4 x16  -                                  0  ok

Missing
  GPU 0: the nearest CPUs: Unknown Error
  GPU 0: the socket: Unknown Error
  GPU 0: the utilization: the driver says 4294967295, which cannot be
  GPU 0: the temperature: Not Supported
  GPU 0: the power: the driver says 4000000000, which cannot be
  GPU 1: the PCIe generation: Unknown Error
  GPU 1: the power limit: Not Supported
  GPU 1: the way to GPU 4: the driver says 99, which is no level
  GPU 2: everything else: GPU is lost, when asked for the GPU
  GPU 3: everything else: GPU is lost, when asked for the power
  GPU 0 to GPU 1: the two ends say 10 and 12 NVLinks, taken as 10
  GPU 0 to GPU 4: the two ends say SYS and NODE, taken as SYS
"""


@pytest.mark.parametrize(
    ("name", "table"),
    [
        pytest.param("eight H100 with NVSwitch", EIGHT_H100_WITH_NVSWITCH, id="eight H100 with NVSwitch"),
        pytest.param("four A100 in pairs", FOUR_A100_IN_PAIRS, id="four A100 in pairs"),
        pytest.param("four L4 without NVLink", FOUR_L4_WITHOUT_NVLINK, id="four L4 without NVLink"),
        pytest.param("an A100 in slices", AN_A100_IN_SLICES, id="an A100 in slices"),
        pytest.param("a broken machine", A_BROKEN_MACHINE, id="a broken machine"),
    ],
)
def test_a_machine_is_shown_as_its_description_says(name: str, table: str, printed_by: Callable[..., str]) -> None:
    assert printed_by(name) == table


def test_the_page_shows_what_is_printed() -> None:
    (page,) = [block for block in blocks_of("docs/operations.md") if block.text.startswith("worker-7: ")]
    assert page.text == FOUR_A100_IN_PAIRS


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        pytest.param((), "-", id="none"),
        pytest.param((3,), "3", id="one"),
        pytest.param((0, 1, 2, 3, 32, 33, 40), "0-3,32-33,40", id="runs, as Linux writes them"),
    ],
)
def test_cpus_are_written_as_linux_writes_them(numbers: tuple[int, ...], written: str) -> None:
    assert _ranges(numbers) == written


def test_what_several_gpus_lack_is_one_line() -> None:
    gaps = [Gap(gpu=index, what="the power", why="Not Supported") for index in (0, 1, 2, 5)]
    assert list(_gaps(gaps)) == ["GPU 0-2,5: the power: Not Supported"]
