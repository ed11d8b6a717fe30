from pathlib import Path

import pytest
import yaml

from turnout.config import load_pipeline
from turnout.epp.demo.topology.arms import ARMS, AWARE, BLIND, capacity, make_load, server_arguments
from turnout.epp.demo.topology.machines import POOL
from turnout.plugins.topology.producer import TopologyProducer

TOPOLOGY = {"gpu-topology-scorer", "topology-producer"}


@pytest.mark.parametrize("arm", ARMS)
def test_the_profile_of_each_run_refuses_nobody_and_picks_in_both_stages(arm: str, tmp_path: Path) -> None:
    pipeline = load_pipeline(ARMS[arm](tmp_path))
    assert pipeline.flow_control is None
    assert pipeline.admitters == ()
    assert {profile.name for profile in pipeline.scheduler.profiles} == {"prefill", "decode"}
    assert pipeline.warnings == ()


def test_blind_and_aware_differ_by_the_topology_alone(tmp_path: Path) -> None:
    blind, aware = (yaml.safe_load(ARMS[arm](tmp_path)) for arm in (BLIND, AWARE))
    assert {plugin["type"] for plugin in aware["plugins"]} - {plugin["type"] for plugin in blind["plugins"]} == TOPOLOGY
    kept = [plugin for plugin in aware["plugins"] if plugin["type"] not in TOPOLOGY]
    assert blind["plugins"] == kept
    for one, other in zip(blind["schedulingProfiles"], aware["schedulingProfiles"], strict=True):
        assert one["plugins"] == [entry for entry in other["plugins"] if entry["pluginRef"] not in TOPOLOGY]


def test_the_aware_run_reads_the_documents_of_all_machines(tmp_path: Path) -> None:
    pipeline = load_pipeline(ARMS[AWARE](tmp_path))
    assert isinstance(pipeline.plugins["topology-producer"], TopologyProducer)
    assert len((tmp_path / "topology.jsonl").read_bytes().splitlines()) == 4


def test_profiles_are_told_that_the_servers_are_slower_than_an_h100(tmp_path: Path) -> None:
    (scorer,) = (
        plugin
        for plugin in yaml.safe_load(ARMS[BLIND](tmp_path))["plugins"]
        if "peakPrefillThroughput" in plugin.get("parameters", {})
    )
    assert scorer["parameters"]["peakPrefillThroughput"] == pytest.approx(15_928 / 6)


def test_the_load_is_half_of_what_the_prefilling_servers_compute() -> None:
    load = make_load(4, 60.0)
    assert load.capacity == capacity(4)
    assert load.rate == 0.5 * load.capacity
    assert abs(len(load.requests) - 60.0 * load.rate) < 6 * (60.0 * load.rate) ** 0.5


def test_two_processes_run_all_servers_with_seeds_of_their_own() -> None:
    first, second = server_arguments(40)
    assert 2 * int(first[first.index("--servers") + 1]) == len(POOL)
    assert (first[first.index("--seed") + 1], second[second.index("--seed") + 1]) == ("40", "48")
