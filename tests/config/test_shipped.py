import asyncio

import pytest

from turnout.config import DEFAULT_CONFIG, load_pipeline, shipped_profiles
from turnout.framework import PROMPT, CycleState, Endpoint, EndpointMetrics, Headers, InferenceRequest, Prompt
from turnout.framework.testing import make_endpoint

NAMES = [
    "bursts",
    "cost-first",
    "default",
    "disaggregated",
    "gang",
    "green",
    "llm-d-default",
    "load-only",
    "lora",
    "multi-objective",
    "overload",
    "precise-prefix",
    "prefix-and-load",
    "sessions",
    "slo-first",
]


def test_these_profiles_are_shipped() -> None:
    assert sorted(file.name for file in shipped_profiles().iterdir()) == [f"{name}.yaml" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_profile_loads_without_a_warning(name: str) -> None:
    text = shipped_profiles().joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    pipeline = load_pipeline(text, source=name)
    assert pipeline.warnings == ()
    again = load_pipeline(pipeline.effective.to_yaml(), previous=pipeline)
    assert all(again.plugins[plugin] is built for plugin, built in pipeline.plugins.items())


def test_the_default_file_is_the_default() -> None:
    assert shipped_profiles().joinpath("default.yaml").read_text(encoding="utf-8") == DEFAULT_CONFIG


def test_the_field_s_default_is_shipped_beside_it() -> None:
    pipeline = load_pipeline(shipped_profiles().joinpath("llm-d-default.yaml").read_text(encoding="utf-8"))
    (profile,) = pipeline.scheduler.profiles
    assert [(scored.scorer.name, scored.weight) for scored in profile.scorers] == [
        ("queue-scorer", 2.0),
        ("kv-cache-utilization-scorer", 2.0),
        ("prefix-cache-scorer", 3.0),
    ]


def endpoint(name: str, in_flight: int, price: int, region: str, zone: str, models: str, shard: str) -> Endpoint:
    labels = {
        "turnout/price-per-hour": str(price),
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": zone,
        "models": models,
        "shard": shard,
    }
    metrics = EndpointMetrics(running_requests=in_flight, kv_cache_utilization=0.3)
    return make_endpoint(name, labels=labels, in_flight=in_flight, metrics=metrics)


# The example of docs/configuration.md.
EXAMPLE = [
    endpoint("idle", 3, 8, "eu-central-1", "zone-c", "", "1"),
    endpoint("cheap", 4, 2, "us-east-1", "zone-c", "", "2"),
    endpoint("clean", 4, 6, "eu-north-1", "zone-c", "", "3"),
    endpoint("near", 5, 5, "eu-central-1", "zone-a", "m", "7"),
]


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("slo-first", "idle"), ("cost-first", "cheap"), ("green", "clean"), ("multi-objective", "near")],
)
def test_each_profile_with_an_objective_of_its_own_decides_differently(name: str, chosen: str) -> None:
    pipeline = load_pipeline(shipped_profiles().joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    headers = Headers([("x-turnout-origin", "zone-b"), ("x-turnout-affinity", "shard=7")])
    request = InferenceRequest("r", model="m", target_model="m", headers=headers, ttft_target=1.0, received_at=1.0)
    state = CycleState(1.0)
    state.write(PROMPT, Prompt(b"", 1000))

    async def produce() -> None:
        for stage in pipeline.producer_stages:
            for named in stage:
                await named.plugin.produce(request, state, EXAMPLE)

    asyncio.run(produce())
    assert pipeline.scheduler.schedule(request, state, EXAMPLE, 1.0).endpoint.name == f"default/{chosen}"


RACK = "topology.kubernetes.io/rack"


def worker(name: str, role: str, version: str, rack: str, in_flight: int = 0) -> Endpoint:
    labels = {"llm-d.ai/role": role, "app.kubernetes.io/version": version, "kubernetes.io/hostname": name, RACK: rack}
    return make_endpoint(name, labels=labels, in_flight=in_flight)


# The idle prefill endpoint is of another version, and the idle decode endpoint in another rack.
WORKERS = [
    worker("p1", "prefill", "1", "r1", 2),
    worker("p2", "prefill", "2", "r1"),
    worker("d1", "decode", "1", "r2"),
    worker("d2", "decode", "1", "r1", 2),
]


def test_the_profile_of_gangs_picks_two_that_belong_together() -> None:
    pipeline = load_pipeline(shipped_profiles().joinpath("gang.yaml").read_text(encoding="utf-8"))
    for watcher in pipeline.watchers:
        watcher.plugin.endpoints_changed(WORKERS)
    request, state = InferenceRequest("r", model="m", target_model="m", received_at=1.0), CycleState(1.0)

    async def produce() -> None:
        for stage in pipeline.producer_stages:
            for named in stage:
                await named.plugin.produce(request, state, WORKERS)

    asyncio.run(produce())
    assert [named.plugin.admit(request, state, WORKERS) for named in pipeline.admitters] == [None]
    result = pipeline.scheduler.schedule(request, state, WORKERS, 1.0)
    picked = {name: profile.picked for name, profile in result.profiles.items()}
    assert picked == {"prefill": (WORKERS[0],), "decode": (WORKERS[3],)}
    headers: dict[str, str] = {}
    for named in pipeline.pre_request:
        headers.update(named.plugin.pre_request(request, state, result) or {})
    p1, d2 = WORKERS[0].host_port, WORKERS[3].host_port
    assert headers["x-prefiller-host-port"] == p1
    assert headers["x-turnout-gang-members"] == f"prefill={p1},decode={d2}"
