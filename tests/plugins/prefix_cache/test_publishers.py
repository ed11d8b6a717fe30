from dataclasses import replace

import pytest

from turnout.framework import Endpoint
from turnout.plugins.prefix_cache.publishers import PodDiscoveryConfig, Publisher, locate

CONFIG = PodDiscoveryConfig(replay_socket_port=6557)
A = Endpoint("default/a", "10.0.0.1", 8000)
B = Endpoint("default/b", "fd00::1", 8000)


def labelled(endpoint: Endpoint, **ports: str) -> Endpoint:
    return replace(endpoint, labels={f"turnout/kv-{name}-port": port for name, port in ports.items()})


def test_an_endpoint_publishes_at_its_address_and_the_configured_ports() -> None:
    assert locate([A, B], CONFIG).of == {
        "default/a": Publisher("tcp://10.0.0.1:5557", "tcp://10.0.0.1:6557"),
        "default/b": Publisher("tcp://[fd00::1]:5557", "tcp://[fd00::1]:6557"),
    }
    assert locate([A], PodDiscoveryConfig()).of == {"default/a": Publisher("tcp://10.0.0.1:5557", "")}


def test_ranks_publish_at_the_ports_behind() -> None:
    ranks = [Endpoint(f"default/a-{rank}", "10.0.0.1", 8000 + rank, rank=rank) for rank in range(2)]
    assert locate(ranks, CONFIG).of == {
        "default/a-0": Publisher("tcp://10.0.0.1:5557", "tcp://10.0.0.1:6557"),
        "default/a-1": Publisher("tcp://10.0.0.1:5558", "tcp://10.0.0.1:6558"),
    }


def test_labels_name_the_ports_of_one_endpoint() -> None:
    assert locate([labelled(A, events="7001", replay="7002")], CONFIG).of == {
        "default/a": Publisher("tcp://10.0.0.1:7001", "tcp://10.0.0.1:7002")
    }


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "x", "5557 ", "\u00b2", "9" * 5000])
def test_a_label_that_is_no_port_leaves_the_endpoint_without_a_publisher(port: str) -> None:
    found = locate([labelled(A, events=port), B], CONFIG)
    assert found.problems["default/a"].startswith(
        "its label turnout/kv-events-port must be a port within 1 to 65535, got "
    )
    assert list(found.of) == ["default/b"]


def test_endpoints_that_share_a_publisher_have_none() -> None:
    twin = Endpoint("default/twin", "10.0.0.1", 8001)
    found = locate([A, B, twin], CONFIG)
    assert list(found.of) == ["default/b"]
    assert found.problems == dict.fromkeys(
        ("default/a", "default/twin"),
        "2 endpoints have tcp://10.0.0.1:5557 for their events and cannot be told apart; "
        "give each its port with the label turnout/kv-events-port",
    )


def test_ports_of_the_configuration_are_checked() -> None:
    with pytest.raises(ValueError, match="replay_socket_port must be within 1 to 65535, got 0"):
        PodDiscoveryConfig(replay_socket_port=0)
