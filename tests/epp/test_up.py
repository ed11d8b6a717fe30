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
