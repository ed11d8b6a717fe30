import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from epp.topology.doubles import FOREVER, Card, Double, build, environment, turnout
from epp.topology.machines import L4S, UNKNOWN
from turnout.plugins.topology.document import parse
from turnout.plugins.topology.machine import Memory, Pcie, Power, Process

MIB = 1024 * 1024
HANGING = Card("NVIDIA L4", "00000000:01:00.0", 23034, failures={"nvmlDeviceGetPowerUsage": FOREVER})


def test_everything_that_a_gpu_says_is_in_the_document(printed_by: Callable[..., str]) -> None:
    machine = parse(printed_by("eight H100 with NVSwitch", "--json").encode())
    assert (machine.driver_version, machine.nvml_version) == ("580.82.07", "13.580.82.07")
    first, last = machine.gpus[0], machine.gpus[7]
    assert (first.name, first.uuid) == ("NVIDIA H100 80GB HBM3", "GPU-00000000-0000-0000-0000-000000000000")
    assert (first.bus_id, last.bus_id) == ("00000000:18:00.0", "00000000:DB:00.0")
    assert first.memory == Memory(total=81559 * MIB, used=70_000 * MIB, free=11_047 * MIB)
    assert first.pcie == Pcie(
        generation=5, width=16, current_generation=1, max_width=16, bytes_per_second=63_015_384_615
    )
    assert (first.socket, first.numa_nodes, first.cpus) == (0, (0,), tuple(range(52)))
    assert (last.socket, last.numa_nodes, last.cpus) == (1, (1,), tuple(range(52, 104)))
    assert (first.utilization, first.memory_utilization, first.temperature_celsius) == (0.97, 0.41, 61)
    assert first.power == Power(watts=655.3, limit_watts=700.0)
    assert (first.throttled, last.throttled) == (("power",), ())
    assert first.processes == (Process(pid=4242, memory_bytes=69_000 * MIB),)
    assert first.gpu_numa_node is None
    assert machine.gaps == ()


def test_an_old_driver_is_asked_in_its_own_words(printed_by: Callable[..., str]) -> None:
    machine = parse(printed_by("four A100 in pairs", "--json").encode())
    assert machine.gaps == ()
    # Its memory info counts what the driver keeps for itself as used.
    assert machine.gpus[1].memory == Memory(total=81920 * MIB, used=1536 * MIB, free=80384 * MIB)
    assert machine.gpus[1].throttled == ()


def test_processes_of_slices_name_their_gpu_instance(printed_by: Callable[..., str]) -> None:
    machine = parse(printed_by("an A100 in slices", "--json").encode())
    assert machine.gpus[0].processes == (
        Process(pid=77, memory_bytes=15 * 1024 * MIB, gpu_instance=1),
        Process(pid=78, memory_bytes=None, gpu_instance=13),
    )


def test_a_gpu_that_falls_off_the_bus_keeps_what_was_read_and_takes_no_other_with_it(
    printed_by: Callable[..., str],
) -> None:
    machine = parse(printed_by("a broken machine", "--json").encode())
    assert [one.lost for one in machine.gpus] == [False, False, True, True, False]
    before, meanwhile = machine.gpus[2], machine.gpus[3]
    assert (before.name, before.memory, before.uuid) == ("", None, "")
    assert meanwhile.memory is not None
    assert (meanwhile.temperature_celsius, meanwhile.power.watts) == (40, None)
    assert machine.gpus[4].temperature_celsius == 40


NO_GPUS = Double((), ())


@pytest.mark.parametrize(
    ("double", "message"),
    [
        pytest.param(None, "no NVIDIA driver on this machine: libnvidia-ml.so.1 is not found.", id="no driver"),
        pytest.param(NO_GPUS, "the NVIDIA driver is loaded, but there is no GPU for it", id="no GPU"),
        pytest.param(replace(L4S, init_error=9), "installed but not loaded: modprobe nvidia", id="not loaded"),
        pytest.param(replace(L4S, init_error=18), "are of different versions.", id="changed under way"),
        pytest.param(replace(L4S, init_error=8), "does not start: Insufficient External Power", id="another error"),
        pytest.param(replace(L4S, init_error=77), "does not start: an error of the double", id="an unheard-of error"),
        pytest.param(
            replace(L4S, count_error=UNKNOWN), "does not say how many GPUs there are: Unknown Error", id="no count"
        ),
        pytest.param(replace(L4S, without=("nvmlInitWithFlags",)), "driver is too old", id="too old"),
    ],
)
def test_without_gpu_or_driver_the_command_says_so_with_a_status_of_its_own(
    double: Double | None, message: str, tmp_path: Path
) -> None:
    if double is None:
        # Nothing that can be loaded, also where there is a driver behind it.
        (tmp_path / "libnvidia-ml.so.1").touch()
    else:
        build(double, tmp_path)
    done = turnout(tmp_path, "topology")
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("turnout: ")
    assert message in line


def test_a_driver_that_hangs_keeps_no_process_from_ending(tmp_path: Path) -> None:
    program = """
import asyncio
from turnout.epp.topology.nvml_reader import read_machine
from turnout.epp.topology.reading import DriverHangsError, begin, within

async def main():
    try:
        await within(0.2, begin(lambda: read_machine("n", "t")))
    except DriverHangsError as error:
        print(error)

asyncio.run(main())
"""
    library = build(replace(L4S, cards=(HANGING,), levels=((0,),)), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(library),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("the NVIDIA driver has not answered for 0.2 seconds")
