"""A cycle that picks two endpoints by how fast data goes between them, over pools of up to 5,000."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import msgspec

from turnout.epp.lifecycle import settle_memory
from turnout.framework import Endpoint
from turnout.plugins.topology.machine import Gpu, Machine, Memory, NvLink, Pair, Pcie, Socket
from turnout.plugins.topology.producer import TopologyProducer

from .figures import Figure, Plan, in_turns
from .pools import Decider, chat_requests, endpoints

POOL_SIZES = (100, 1000, 5000)
P99_SECONDS = {100: 1e-3, 1000: 5e-3}
SAMPLE = 200
GPUS_PER_HOST, HOSTS_PER_RACK = 8, 8

_CONFIG = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: topology-producer
  parameters: {{documents: {{file: {file}, maxBytes: 67108864}}}}
- type: disagg-profile-handler
- type: sampling-filter
  parameters: {{maxEndpointsToScore: {sample}, seed: 7}}
- type: prefill-filter
- type: decode-filter
- type: queue-scorer
- type: gpu-topology-scorer
- {{type: max-score-picker, parameters: {{seed: 7}}}}
schedulingProfiles:
- name: decode
  plugins: [{{pluginRef: decode-filter}}, {{pluginRef: sampling-filter}}, {{pluginRef: queue-scorer}}]
- name: prefill
  plugins: [{{pluginRef: prefill-filter}}, {{pluginRef: sampling-filter}}, {{pluginRef: queue-scorer}}{scorer}]
"""


async def topology_scoring(plan: Plan) -> list[Figure]:
    """A decode and a prefill pick, the second by the way to the first, against the same without the topology."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="turnout-") as folder:
        for size in POOL_SIZES:
            pool = placed(size)
            file = Path(folder) / f"{size}.jsonl"
            file.write_bytes(documents(pool))
            blind, aware, sampled = (
                _decider(pool, file, aware=aware, sample=sample)
                for aware, sample in ((False, size), (True, size), (True, SAMPLE))
            )
            # As the served process does it once it is configured.
            settle_memory()
            calls = {"blind": blind.decide, "aware": aware.decide, "sampled": sampled.decide}
            samples = in_turns(calls, plan.pick(5, 3), plan.pick(300, 60))
            for percent in (50, 99):
                budget = P99_SECONDS.get(size) if percent == 99 else None
                for name, words in (("aware", "all scored"), ("sampled", f"{SAMPLE} sampled")):
                    what = f"prefill and decode by topology, {size:,} endpoints, {words}, p{percent}"
                    times = (samples[name].percentile(percent), samples["blind"].percentile(percent))
                    figures.append(Figure("topology", what, "s", *times, "no topology, all scored", budget))
            plan.advance(1 / len(POOL_SIZES))
    return figures


def placed(count: int) -> Sequence[Endpoint]:
    """Busy endpoints, eight on a host and 64 in a rack, every other one for prefill."""
    return tuple(
        replace(
            endpoint,
            labels={
                "llm-d.ai/role": "prefill" if number % 2 else "decode",
                "kubernetes.io/hostname": f"node-{number // GPUS_PER_HOST}",
                "topology.kubernetes.io/rack": f"rack-{number // (GPUS_PER_HOST * HOSTS_PER_RACK)}",
                "topology.kubernetes.io/zone": "zone",
                "turnout/gpus": str(number % GPUS_PER_HOST),
            },
        )
        for number, endpoint in enumerate(endpoints(count))
    )


def documents(pool: Sequence[Endpoint]) -> bytes:
    """A document for each host, on a line each."""
    hosts = dict.fromkeys(endpoint.labels["kubernetes.io/hostname"] for endpoint in pool)
    return b"\n".join(msgspec.json.encode(_host(host)) for host in hosts)


def _host(name: str) -> Machine:
    """Two islands of four GPUs, which have NVLink to each other, on two sockets."""
    links = tuple(NvLink(link=number, active=True, peer="switch", bytes_per_second=25 * 10**9) for number in range(12))
    gpus = tuple(
        Gpu(
            index=index,
            name="NVIDIA A100-SXM4-80GB",
            memory=Memory(total=80 * 2**30, used=0, free=80 * 2**30),
            pcie=Pcie(generation=4, width=16, bytes_per_second=31_507_692_308),
            socket=index // 4,
            nvlinks=links,
        )
        for index in range(GPUS_PER_HOST)
    )
    pairs = tuple(
        Pair(a=a, b=b, link="NV12", level="NODE", nvlinks=12, switched=True, bytes_per_second=300 * 10**9)
        if a // 4 == b // 4
        else Pair(a=a, b=b, link="SYS", level="SYS", bytes_per_second=31_507_692_308)
        for a, b in combinations(range(GPUS_PER_HOST), 2)
    )
    sockets = (Socket(index=0, cpus=(0,)), Socket(index=1, cpus=(1,)))
    return Machine(node=name, read_at="2026-01-01T00:00:00+00:00", gpus=gpus, sockets=sockets, pairs=pairs)


def _decider(pool: Sequence[Endpoint], file: Path, *, aware: bool, sample: int) -> Decider:
    scorer = ", {pluginRef: gpu-topology-scorer, weight: 2}" if aware else ""
    decider = Decider(_CONFIG.format(file=file, sample=sample, scorer=scorer), pool, chat_requests(2048, 64))
    for plugin in decider.pipeline.plugins.values():
        if isinstance(plugin, TopologyProducer):
            plugin.endpoints_changed(pool)
    return decider
