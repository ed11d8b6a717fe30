import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest

from turnout.config import ConfigError
from turnout.epp import service
from turnout.epp.gateway.accesslog import RequestEnd
from turnout.epp.options import EppOptions
from turnout.epp.service import EndpointPicker, StartError, read_pipeline, static_specs
from turnout.framework import Refusal, RefusalKind, RequestRefused, SchedulerProfile
from turnout.framework.testing import make_request, make_state

CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer, weight: WEIGHT}, {pluginRef: prefix-cache-scorer}]
dataLayer: {injectDefaults: false}
"""


def options(**changes: object) -> EppOptions:
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "grpc_port": 0,
        "grpc_health_port": 0,
        "metrics_port": 0,
        "secure_serving": False,
        "drain_timeout": 0.0,
        "config_text": CONFIG.replace("WEIGHT", "2"),
        "endpoints": ("127.0.0.1:9", "[::1]:9,tier=spot"),
    }
    return EppOptions(**(values | changes))  # type: ignore[arg-type]  # fields by name


def weights(picker: EndpointPicker) -> list[float]:
    profile: SchedulerProfile = picker._director.pipeline.scheduler.profiles[0]
    return [scorer.weight for scorer in profile.scorers]


async def test_it_starts_shows_its_pages_and_stops() -> None:
    given = options()
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{picker.metrics_port}") as session:
            async with session.get("/metrics") as response:
                assert 'turnout_ready_endpoints{name="default"} 2.0' in await response.text()
            async with session.get("/config") as response:
                assert (await response.json())["config"]["apiVersion"] == "turnout/v1"
            async with session.get("/endpoints") as response:
                listed = (await response.json())["endpoints"]
    finally:
        await picker.stop()
    assert [(entry["address"], entry["labels"]) for entry in listed] == [
        ("127.0.0.1:9", {}),
        ("[::1]:9", {"tier": "spot"}),
    ]


async def test_a_reload_takes_up_weights_and_keeps_the_state_of_unchanged_plugins(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG.replace("WEIGHT", "2"))
    given = options(config_text=None, config_file=file, watch_config=False)
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    try:
        before = picker._pipeline.plugins["approx-prefix-cache-producer"]
        file.write_text(CONFIG.replace("WEIGHT", "5"))
        assert picker.reload()
        assert weights(picker) == [5.0, 1.0]
        assert picker._pipeline.plugins["approx-prefix-cache-producer"] is before
        file.write_text("plugins: [{type: nonsense}]")
        assert not picker.reload()
        assert weights(picker) == [5.0, 1.0]
    finally:
        await picker.stop()


async def test_advice_about_replicas_is_asked_for_again_and_again_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnout.epp.service.ADVICE_SECONDS", 0.01)
    advised = CONFIG.replace("WEIGHT", "2").replace("- type: queue", "- type: autoscaling-advisor\n- type: queue", 1)
    given = options(config_text=advised)
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{picker.metrics_port}") as session, asyncio.timeout(30):
            while not picker._advices.latest:
                await asyncio.sleep(0.01)
            async with session.get("/autoscaling") as response:
                (shown,) = (await response.json())["advice"]
            async with session.get("/metrics") as response:
                page = await response.text()
    finally:
        await picker.stop()
    assert (shown["group"], shown["basis"], shown["desired"], shown["current"]) == ("", "tokens", 2, 2)
    labels = 'basis="tokens",group="",plugin_name="autoscaling-advisor",plugin_type="autoscaling-advisor"'
    assert f"turnout_autoscaling_desired_replicas{{{labels}}} 2.0" in page


async def test_the_time_of_day_follows_the_machine_and_outlives_reloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SWEEP_SECONDS", 0.01)
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG.replace("WEIGHT", "2"))
    given = options(config_text=None, config_file=file, watch_config=False)
    picker = EndpointPicker(given, read_pipeline(given))
    clock = picker._pipeline.wall_clock
    assert clock.unix(time.monotonic()) == pytest.approx(time.time(), abs=60.0)
    clock.set(0.0)
    await picker.start()
    try:
        while clock.unix(0.0) == 0.0:
            await asyncio.sleep(0.01)
        assert clock.unix(time.monotonic()) == pytest.approx(time.time(), abs=60.0)
        file.write_text(CONFIG.replace("WEIGHT", "5"))
        assert picker.reload()
        assert picker._pipeline.wall_clock is clock
    finally:
        await picker.stop()


async def test_a_reload_that_begins_to_defer_requests_tells_that_the_proxy_does_not_know(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "epp.yaml"
    text = CONFIG.replace("WEIGHT", "2")
    file.write_text(text)
    given = options(config_text=None, config_file=file, watch_config=False)
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    try:
        later = (
            "- type: clean-hours-policy\n  parameters: {hours: [{from: '22:00', to: '06:00'}]}\n- type: queue-scorer"
        )
        file.write_text("featureGates: [flowControl]\n" + text.replace("- type: queue-scorer", later, 1))
        assert picker.reload()
        assert "requests may be deferred now" in caplog.text
    finally:
        await picker.stop()


TRACKED = CONFIG.replace("WEIGHT", "2").replace(
    "- type: queue-scorer",
    "- type: queue-scorer\n- type: sla-tracker\n  parameters:\n"
    "    targets: [{name: NAME, metric: e2e, percentile: 99, target: 1s}]",
    1,
)


async def test_promises_are_shown_and_violations_told_across_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(TRACKED.replace("NAME", "before"))
    given = options(config_text=None, config_file=file, watch_config=False)
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    try:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{picker.metrics_port}") as session,
            session.get("/sla/events") as stream,
        ):
            for name in ("before", "after"):
                file.write_text(TRACKED.replace("NAME", name))
                assert picker.reload()
                tracker = picker._pipeline.plugins["sla-tracker"]
                assert isinstance(tracker, RequestRefused)
                tracker.request_refused(make_request(), make_state(), Refusal(RefusalKind.UNAVAILABLE, "no"))
                async with session.get("/sla") as response:
                    assert [target["target"] for target in (await response.json())["targets"]] == [name]
                lines = [await stream.content.readline() for _ in range(4)]
                assert json.loads(lines[2].removeprefix(b"data: "))["target"] == name
    finally:
        await picker.stop()


async def test_a_changed_file_is_taken_up_while_it_serves(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG.replace("WEIGHT", "2"))
    given = options(config_text=None, config_file=file)
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    try:
        async with asyncio.timeout(30):
            weight = 10
            while weights(picker)[0] < 10:
                # Written again and again: a watcher that is just starting may miss the first change.
                file.write_text(CONFIG.replace("WEIGHT", str(weight)))
                weight += 1
                await asyncio.sleep(0.1)
    finally:
        await picker.stop()


async def test_the_endpoint_file_for_envoy_follows_the_pool(tmp_path: Path) -> None:
    eds = tmp_path / "eds.json"
    given = options(eds_file=eds)
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    await picker.stop()
    assert '"address": "::1"' in eds.read_text()


async def test_an_unknown_lease_in_the_access_log_is_nothing() -> None:
    given = options()
    picker = EndpointPicker(given, read_pipeline(given))
    picker._request_ended(RequestEnd("forged", None, 200, (), 1, 0.1, 0.1, 5))
    await picker.stop()


async def test_without_endpoints_it_does_not_start() -> None:
    given = options(endpoints=())
    with pytest.raises(StartError, match="no endpoints: give --endpoint URL"):
        EndpointPicker(given, read_pipeline(given))


async def test_a_taken_port_is_an_error_and_leaves_nothing_running() -> None:
    given = options()
    first = EndpointPicker(given, read_pipeline(given))
    await first.start()
    try:
        taken = options(grpc_port=first.grpc_port)
        second = EndpointPicker(taken, read_pipeline(taken))
        with pytest.raises(StartError, match=str(first.grpc_port)):
            await second.start()
    finally:
        await first.stop()


async def test_draining_ends_by_itself() -> None:
    given = options()
    picker = EndpointPicker(given, read_pipeline(given))
    await picker.start()
    async with asyncio.timeout(20):
        await picker.drain()
    with pytest.raises(aiohttp.ClientConnectorError):
        async with aiohttp.ClientSession() as session:
            await session.get(f"http://127.0.0.1:{picker.metrics_port}/healthz")


def test_a_bad_configuration_is_reported_whole() -> None:
    with pytest.raises(ConfigError) as raised:
        read_pipeline(options(config_text="plugins: [{type: a}, {type: b}]"))
    assert [problem.path for problem in raised.value.problems] == ["plugins[0].type", "plugins[1].type"]


async def test_endpoints_of_the_command_line_are_resolved() -> None:
    (spec,) = await static_specs(["localhost:80"])
    assert (spec.name, spec.address) == ("default/localhost:80", "127.0.0.1")
    with pytest.raises(StartError, match="only http is supported"):
        await static_specs(["https://a:1"])
