"""Files that change while a real Envoy serves: the endpoints, and the configuration."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import EPP, Mode, World, until, world
from integration.load import Load
from integration.model_servers import ModelServer

pytestmark = pytest.mark.integration

DISCOVERY = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: file-discovery
  parameters: {path: PATH, watchFile: true}
- type: queue-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
dataLayer:
  discovery: {pluginRef: file-discovery}
"""

WEIGHTED = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: QUEUE
  - pluginRef: prefix-cache-scorer
    weight: 3
"""


def write(path: Path, content: str) -> None:
    """Replaces the file at once, as a careful editor does."""
    draft = path.with_suffix(".new")
    draft.write_text(content)
    draft.replace(path)


def listing(servers: list[ModelServer]) -> str:
    entries = [{"name": server.name, "address": "127.0.0.1", "port": str(server.port)} for server in servers]
    return json.dumps({"endpoints": entries})


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async def is_logged() -> bool:
        return text in caplog.text

    await until(is_logged, f"the log line {text!r}")


def in_eds(running: World) -> set[int]:
    [resource] = json.loads(running.eds.read_text())["resources"]
    [group] = resource["endpoints"]
    return {entry["endpoint"]["address"]["socket_address"]["port_value"] for entry in group["lb_endpoints"]}


async def served_only_by(running: World, names: set[str]) -> None:
    """Returns when 12 requests in a row are served by these, by each of them."""
    prompts = (f"prompt {number}" for number in itertools.count())

    async def only_those() -> bool:
        answers = [await running.gateway.chat(next(prompts)) for _ in range(12)]
        assert {answer.status for answer in answers} == {200}
        return {answer.served for answer in answers} == names

    await until(only_those, f"requests served by {sorted(names)}")


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param("\x00\x01 garbage: [", id="no YAML"),
        pytest.param('{"endpoints": [{"name": "x", "address": "127.0.0.1", "port": "99999"}]}', id="a bad port"),
        pytest.param("", id="an empty file"),
    ],
)
async def test_an_endpoints_file_replaced_by_garbage_changes_nothing_until_it_is_valid(
    mode: Mode, servers: list[ModelServer], tmp_path: Path, caplog: pytest.LogCaptureFixture, garbage: str
) -> None:
    file = tmp_path / "endpoints.yaml"
    write(file, listing(servers[:2]))
    options = replace(EPP, config_text=DISCOVERY.replace("PATH", str(file)))
    async with world(mode, tmp_path, (), options) as running:
        async with Load(running.gateway, workers=2) as load:
            assert in_eds(running) == {servers[0].port, servers[1].port}
            write(file, garbage)
            await until_logged(caplog, "kept the last good version")
            await served_only_by(running, {"a", "b"})
            assert in_eds(running) == {servers[0].port, servers[1].port}

            write(file, listing(servers[1:]))
            await served_only_by(running, {"b", "c", "d"})
            assert in_eds(running) == {server.port for server in servers[1:]}
        assert set(load.outcomes) == {200}
        await running.pages.settled()


async def test_a_pool_that_becomes_empty_refuses_and_serves_when_it_is_filled(
    mode: Mode, servers: list[ModelServer], tmp_path: Path
) -> None:
    file = tmp_path / "endpoints.yaml"
    write(file, '{"endpoints": []}')
    options = replace(EPP, config_text=DISCOVERY.replace("PATH", str(file)))
    async with world(mode, tmp_path, (), options) as running:
        for answer in (await running.gateway.chat(), await running.gateway.send("GET", "/v1/models")):
            assert answer.status == 503
            assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"
            assert (answer.error["type"], answer.error["code"]) == ("server_error", "rejected-no-endpoints")
        write(file, listing(servers))

        async def serves() -> bool:
            return (await running.gateway.chat()).status == 200

        await until(serves, "an answer of the new endpoints")
        await running.gateway.still_serves()


async def weight(running: World) -> object:
    """Of the queue scorer, in the effective configuration."""
    page = await running.pages.get("/config")
    return json.dumps(page).count('"weight": 7')


async def test_a_configuration_reloaded_under_load_fails_no_request_and_keeps_the_prefix_cache(
    mode: Mode, servers: list[ModelServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config" / "epp.yaml"
    file.parent.mkdir()
    write(file, WEIGHTED.replace("QUEUE", "1"))
    options = replace(EPP, config_file=file)
    conversation = "a long system prompt " * 100
    async with world(mode, tmp_path, [server.url for server in servers], options) as running:
        first = (await running.gateway.chat(conversation)).served
        async with Load(running.gateway) as load:
            write(file, WEIGHTED.replace("QUEUE", "1").replace("queue-scorer", "no-such-scorer"))
            await until_logged(caplog, "the configuration was not reloaded")
            assert await weight(running) == 0
            await load.answered(50)
            write(file, WEIGHTED.replace("QUEUE", "7"))

            async def reloaded() -> bool:
                return await weight(running) == 1

            await until(reloaded, "the new weight in the effective configuration")
            await load.answered(50)
        assert set(load.outcomes) == {200}
        await running.pages.settled()
        again = [(await running.gateway.chat(conversation)).served for _ in range(12)]
        assert Counter(again) == {first: 12}
