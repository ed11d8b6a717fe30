import pytest

from turnout.config import load_pipeline
from turnout.epp.gateway.options import Address, OverrideHost
from turnout.epp.options import EppOptions
from turnout.epp.up import UpOptions, gateway_options

CLUSTER = OverrideHost((Address("127.0.0.1", 1),))


@pytest.mark.parametrize(
    ("plugins", "read_responses", "modes"),
    [
        pytest.param("[{type: queue-scorer}]", False, ("buffered", False, "none"), id="the default"),
        pytest.param("[{type: queue-scorer}]", True, ("buffered", True, "streamed"), id="usage asked for"),
        pytest.param("[{type: session-affinity-filter}]", False, ("buffered", True, "none"), id="response headers"),
        pytest.param(
            "[{type: passthrough-parser}], requestHandler: {parsers: [{pluginRef: passthrough-parser}]}",
            False,
            ("none", False, "none"),
            id="no parser reads bodies",
        ),
    ],
)
def test_envoy_is_asked_for_no_more_than_the_plugins_need(
    plugins: str, read_responses: bool, modes: tuple[str, bool, str]
) -> None:
    text = f"{{apiVersion: turnout/v1, kind: EndpointPickerConfig, plugins: {plugins}}}"
    options = UpOptions(Address("127.0.0.1", 8080), 9901, EppOptions(read_responses=read_responses))
    asked = gateway_options(options, load_pipeline(text), CLUSTER, 9002)
    assert (asked.request_body, asked.response_headers, asked.response_body) == modes
    assert asked.access_log
    assert asked.max_body_bytes == options.epp.max_request_body_bytes


@pytest.mark.parametrize(
    ("flow_control", "gates", "kept_open"),
    [
        pytest.param("{enableEviction: true}", "[flowControl]", True, id="with eviction"),
        pytest.param("{enableEviction: false}", "[flowControl]", False, id="without"),
        pytest.param("{enableEviction: true}", "[]", False, id="flow control off"),
    ],
)
def test_streams_stay_open_where_requests_may_be_taken_back(flow_control: str, gates: str, kept_open: bool) -> None:
    text = (
        "{apiVersion: turnout/v1, kind: EndpointPickerConfig, plugins: [{type: queue-scorer}], "
        f"featureGates: {gates}, flowControl: {flow_control}}}"
    )
    options = UpOptions(Address("127.0.0.1", 8080), 9901)
    assert gateway_options(options, load_pipeline(text), CLUSTER, 9002).eviction is kept_open


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        pytest.param("[{type: queue-scorer}]", ("buffered", 600.0, 900.0), id="nothing is deferred"),
        pytest.param(
            "[{type: queue-scorer}, {type: clean-hours-policy, parameters: {hours: [{from: '22:00', to: '06:00'}]}}]",
            ("full-duplex", 3600.0, 90_000.0),
            id="a night's wait",
        ),
    ],
)
def test_the_proxy_waits_as_long_as_requests_may_be_deferred(plugins: str, expected: tuple[str, float, float]) -> None:
    text = f"{{apiVersion: turnout/v1, kind: EndpointPickerConfig, featureGates: [flowControl], plugins: {plugins}}}"
    gateway = gateway_options(UpOptions(Address("127.0.0.1", 8080), 9901), load_pipeline(text), CLUSTER, 9002)
    timeouts = (gateway.message_timeout_seconds, gateway.stream_idle_timeout_seconds)
    assert (gateway.request_body, *timeouts) == expected
