"""How well `predicted-latency-producer` predicts the first tokens of two real vLLM, behind a real Envoy."""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import openai
import pytest
import pytest_asyncio

from engines.check_gateway import free_ports
from engines.load import openai_client
from engines.polling import until
from engines.tiny_model import SMALL, token_ids
from engines.traffic import text
from engines.vllm_server import MODEL, VllmServer, vllm_server
from turnout.epp.demo.servers import Child

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONFIG = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: predicted-latency-producer
  parameters: {streamingMode: true}
- type: prediction-recorder
  parameters: {file: FILE}
- type: slo-scorer
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: slo-scorer
  - pluginRef: max-score-picker
"""
REQUESTS, LEARNT_FROM = 200, 80


@dataclass(frozen=True)
class Prompt:
    """What one request asks, and how long after the one before it."""

    pause: float
    text: str
    tokens: int


@dataclass(frozen=True)
class Seen:
    """One request: predicted and observed by the picker, and observed by the client; seconds."""

    predicted: float
    observed: float
    at_the_client: float
    prompt_tokens: int
    in_flight: int

    @property
    def error(self) -> float:
        return abs(self.predicted - self.observed) / self.observed


def workload(seed: int, rate: float) -> list[Prompt]:
    """Requests at random times, so many a second, with prompts of 20 to 1,600 tokens that share nothing."""
    numbers = random.Random(seed)
    return [
        Prompt(
            numbers.expovariate(rate),
            text(numbers, min(1_600, max(20, round(numbers.lognormvariate(6.0, 0.9))))),
            numbers.randint(8, 40),
        )
        for _ in range(REQUESTS)
    ]


def offer_the_recorder(folder: Path) -> Path:
    """A folder that, on Python's path, makes the plugin's type known."""
    info = folder / "prediction_recorder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prediction-recorder\nVersion: 1.0\n")
    entry = "prediction-recorder = engines.prediction_recorder:PredictionRecorder"
    (info / "entry_points.txt").write_text(f"[turnout.plugins]\n{entry}\n")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sequence[VllmServer]]:
    """Two of a model whose prompts take time."""
    async with (
        vllm_server(tmp_path_factory.mktemp("first-small-vllm"), size=SMALL, is_measured=True) as first,
        vllm_server(tmp_path_factory.mktemp("second-small-vllm"), size=SMALL, is_measured=True) as second,
    ):
        yield (first, second)


@asynccontextmanager
async def gateway(servers: Sequence[VllmServer], config: Path) -> AsyncIterator[str]:
    """The URL of a gateway in front of these servers."""
    ports = [str(port) for port in free_ports(2)]
    arguments = ["up", "--config-file", str(config), "--json", "--metrics-port", "0"]
    arguments += ["--port", ports[0], "--envoy-admin-port", ports[1]]
    arguments += [word for server in servers for word in ("--endpoint", server.url)]
    async with Child(*arguments) as child:
        yield str(child.announced["url"])


async def first_token(client: openai.AsyncOpenAI, number: int, prompt: Prompt) -> float:
    """Seconds to the first piece of an answer, which is read to its end."""
    began = time.perf_counter()
    first = 0.0
    async with await client.completions.create(
        model=MODEL,
        prompt=token_ids(prompt.text),
        max_tokens=prompt.tokens,
        stream=True,
        extra_body={"ignore_eos": True},
        extra_headers={"x-request-id": f"r{number}"},
    ) as stream:
        async for _ in stream:
            first = first or time.perf_counter() - began
    return first


async def send(url: str, prompts: Sequence[Prompt]) -> list[float]:
    """Sends each at its time; the clients' seconds to the first piece, in the order of the prompts."""
    async with openai_client(url) as client, asyncio.TaskGroup() as tasks:
        running = []
        for number, prompt in enumerate(prompts):
            await asyncio.sleep(prompt.pause)
            running.append(tasks.create_task(first_token(client, number, prompt)))
    return [task.result() for task in running]


async def measured(servers: Sequence[VllmServer], folder: Path, prompts: Sequence[Prompt]) -> list[Seen]:
    """What became of each request, in the order of dispatch."""
    notes, config = folder / "notes.jsonl", folder / "epp.yaml"
    config.write_text(CONFIG.replace("FILE", str(notes)))
    notes.touch()
    async with gateway(servers, config) as url:
        at_clients = await send(url, prompts)

        async def recorded() -> list[str]:
            return notes.read_text().splitlines()

        lines = await until(recorded, lambda lines: len(lines) == len(prompts))
    written = sorted((json.loads(line) for line in lines), key=lambda note: note["sent_at"])
    assert {note["status"] for note in written} == {200}
    numbers = [int(note["id"].removeprefix("r")) for note in written]
    return [
        Seen(
            note["predicted"],
            note["first_at"] - note["sent_at"],
            at_clients[number],
            len(prompts[number].text),
            int(note["in_flight"]),
        )
        for number, note in zip(numbers, written, strict=True)
    ]


def show(what: str, seen: Sequence[Seen]) -> None:
    """For the reader of `make test-engines ARGS=-s`."""
    errors = sorted(each.error for each in seen)
    observed = sorted(each.observed for each in seen)
    sys.stdout.write(
        f"\n{what}: median error {median(errors):.1%}, 90th percentile {errors[len(errors) * 9 // 10]:.1%}; "
        f"TTFT {median(observed) * 1e3:.0f} ms (p10 {observed[len(observed) // 10] * 1e3:.0f}, "
        f"p90 {observed[len(observed) * 9 // 10] * 1e3:.0f}), predicted {median(s.predicted for s in seen) * 1e3:.0f}, "
        f"at the client {median(each.at_the_client for each in seen) * 1e3:.0f}\n"
    )


@pytest.mark.parametrize("rate", [pytest.param(1.5, id="light load"), pytest.param(4.0, id="medium load")])
async def test_the_median_error_of_the_predicted_ttft_is_below_35_percent(
    servers: Sequence[VllmServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    tests = str(Path(__file__).parents[1])
    path = [str(offer_the_recorder(tmp_path)), tests, os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(part for part in path if part))
    seen = await measured(servers, tmp_path, workload(seed=1, rate=rate))
    first, later = seen[:LEARNT_FROM], seen[LEARNT_FROM:]
    show(f"{rate:g} requests a second, the first {LEARNT_FROM}", first)
    show(f"{rate:g} requests a second, the others", later)
    busy = f"the machine's load is {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors"
    assert median(each.error for each in later) < 0.35, busy
