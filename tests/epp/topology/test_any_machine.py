"""What is true of every machine; with ``--nvidia-driver`` also of the one on which the tests run."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from itertools import combinations
from pathlib import Path

import pytest

from epp.topology.machines import THIS_MACHINE
from turnout.framework import WallClock
from turnout.framework.testing import make_endpoint
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.topology.document import encoded, parse
from turnout.plugins.topology.keys import Reach
from turnout.plugins.topology.machine import LEVELS, Machine
from turnout.plugins.topology.producer import TopologyProducer


@pytest.fixture
def machine(any_machine: str, printed_by: Callable[..., str]) -> Machine:
    return parse(printed_by(any_machine, "--json").encode())


def test_the_document_is_a_document_and_has_a_pair_for_each_two_gpus(machine: Machine) -> None:
    indices = [gpu.index for gpu in machine.gpus]
    assert indices == list(range(len(machine.gpus)))
    assert [(pair.a, pair.b) for pair in machine.pairs] == list(combinations(indices, 2))


def test_what_is_not_known_of_a_gpu_is_told(machine: Machine) -> None:
    told = {gap.gpu for gap in machine.gaps}
    for gpu in machine.gpus:
        known = (gpu.uuid, gpu.name, gpu.bus_id, gpu.memory, gpu.pcie.bytes_per_second, gpu.temperature_celsius)
        assert all(known) or gpu.index in told


def test_every_way_is_as_fast_as_its_links(machine: Machine) -> None:
    for pair in machine.pairs:
        if pair.nvlinks:
            assert pair.link == f"NV{pair.nvlinks}"
            assert pair.bytes_per_second is None or pair.bytes_per_second >= pair.nvlinks * 20_000_000_000
        else:
            assert pair.link in (*LEVELS, "?")


def test_people_see_the_same_ways(any_machine: str, machine: Machine, printed_by: Callable[..., str]) -> None:
    lines = [line.split() for line in printed_by(any_machine).splitlines() if line.startswith("  GPU")]
    rows = {line[0]: line for line in lines}
    for pair in machine.pairs:
        assert rows[f"GPU{pair.a}"][pair.b + 1] == pair.link
        assert rows[f"GPU{pair.b}"][pair.a + 1] == pair.link


def test_nvidia_smi_of_this_machine_says_the_same(any_machine: str, machine: Machine) -> None:
    smi = shutil.which("nvidia-smi")
    if any_machine != THIS_MACHINE:
        assert all(pair.a < pair.b for pair in machine.pairs)
        return
    assert smi, "there is no nvidia-smi beside the driver"
    said = subprocess.run([smi, "topo", "-m"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines() if line.startswith("GPU")]
    for pair in machine.pairs:
        assert rows[pair.a][pair.b + 1] == pair.link


def test_what_the_command_prints_is_read_unchanged(any_machine: str, printed_by: Callable[..., str]) -> None:
    printed = printed_by(any_machine, "--json")
    machine = parse(printed.encode())
    assert json.loads(encoded(machine)) == json.loads(printed)
    assert machine.node == "worker-7"


def test_the_document_feeds_the_data_layer_unchanged(
    any_machine: str, printed_by: Callable[..., str], machine: Machine, tmp_path: Path
) -> None:
    file = tmp_path / "topology.json"
    file.write_text(printed_by(any_machine, "--json"))
    # At the moment at which it was read, however long ago that is.
    read_at = datetime.fromisoformat(machine.read_at).timestamp()
    producer = TopologyProducer(WallClock(read_at), FeedSource(file=str(file)))
    names = {gpu.index: f"on-gpu-{gpu.index}" for gpu in machine.gpus}
    labels = {index: {"kubernetes.io/hostname": "worker-7", "turnout/gpus": str(index)} for index in names}
    pool = [make_endpoint(name, labels=labels[index]) for index, name in names.items()]
    producer.endpoints_changed(pool)
    sliced = {gpu.index for gpu in machine.gpus if any(one.profile for one in gpu.mig_instances)}
    for pair in machine.pairs:
        route = producer.routes(f"default/{names[pair.a]}")(f"default/{names[pair.b]}")
        assert route is not None
        if not sliced & {pair.a, pair.b}:
            assert (route.reach is Reach.NVLINK) == (pair.nvlinks > 0)
            assert route.bytes_per_second == (pair.bytes_per_second or route.bytes_per_second)
            assert route.measured
        else:
            assert route.reach is not Reach.NVLINK
    for gpu in machine.gpus:
        state = producer.state(f"default/{names[gpu.index]}", 1.0)
        assert state is not None
        assert (state.lost, state.utilization) == (gpu.lost, gpu.utilization)
    lost = ["lost-gpu" for gpu in machine.gpus if gpu.lost]
    assert [finding.cause for finding in producer.diagnose(pool, 1.0).findings] == lost
