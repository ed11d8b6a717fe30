import asyncio
from collections.abc import Sequence

import pytest

from turnout.epp.datalayer.discovery.static import StaticDiscovery, parse_endpoint
from turnout.framework import EndpointSpec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        pytest.param("http://a.b:8000", EndpointSpec("default/a.b:8000", "a.b", 8000, {}), id="URL"),
        pytest.param("http://a.b:8000/", EndpointSpec("default/a.b:8000", "a.b", 8000, {}), id="URL with slash"),
        pytest.param("http://a.b", EndpointSpec("default/a.b:80", "a.b", 80, {}), id="URL without port"),
        pytest.param("10.0.0.1:8000", EndpointSpec("default/10.0.0.1:8000", "10.0.0.1", 8000, {}), id="host and port"),
        pytest.param("[::1]:8000", EndpointSpec("default/[::1]:8000", "::1", 8000, {}), id="IPv6"),
        pytest.param("http://[fd00::1]:1", EndpointSpec("default/[fd00::1]:1", "fd00::1", 1, {}), id="IPv6 URL"),
        pytest.param(
            "a:1,role=decode, x/y=,z=1=2",
            EndpointSpec("default/a:1", "a", 1, {"role": "decode", "x/y": "", "z": "1=2"}),
            id="labels",
        ),
    ],
)
def test_reads_an_endpoint(text: str, spec: EndpointSpec) -> None:
    assert parse_endpoint(text) == spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "a port within 1 to 65535 is missing", id="nothing"),
        pytest.param("host", "a port within 1 to 65535 is missing", id="no port"),
        pytest.param("host:0", "a port within 1 to 65535 is missing", id="port zero"),
        pytest.param("host:65536", "out of range", id="port too large"),
        pytest.param("host:http", "could not be cast|Port", id="port is a word"),
        pytest.param("https://host:1", "only http is supported, got https", id="https"),
        pytest.param("http://host:1/v1", "expected only a host and a port", id="path"),
        pytest.param("http://u:p@host:1", "expected only a host and a port", id="user"),
        pytest.param("::1:8000", "neither an IP address nor|cast|Port", id="IPv6 without brackets"),
        pytest.param("http://:8000", "'' is neither an IP address nor a host name", id="no host"),
        pytest.param("300.1.1.1:80", "'300.1.1.1' is neither", id="no address"),
        pytest.param("a:1,decode", "expected label=value, got 'decode'", id="label without value"),
    ],
)
def test_refuses_what_is_no_endpoint_and_shows_it(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refusal:
        parse_endpoint(text)
    assert f"endpoint {text!r}: " in str(refusal.value)


def test_refuses_an_endpoint_given_twice() -> None:
    with pytest.raises(ValueError, match="endpoint default/a:1 is given twice"):
        StaticDiscovery([parse_endpoint("a:1"), parse_endpoint("http://a:1")])


async def test_publishes_once_and_waits() -> None:
    published: asyncio.Queue[Sequence[EndpointSpec]] = asyncio.Queue()
    discovery = asyncio.create_task(StaticDiscovery([parse_endpoint("a:1")]).discover(published.put))
    assert list(await published.get()) == [EndpointSpec("default/a:1", "a", 1, {})]
    assert not discovery.done()
    discovery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await discovery
    assert published.empty()
