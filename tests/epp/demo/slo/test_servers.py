import pytest

from turnout.epp.demo.slo.servers import FAST, SERVERS, SLOTS, SLOW, capacity, server_arguments
from turnout.epp.demo.slo.workload import requests
from turnout.epp.demo.timed.capacity import engine_rate


def test_each_server_has_a_seed_of_its_own_and_the_speed_of_its_kind() -> None:
    arguments = server_arguments(10)
    assert [(words[1], words[5]) for words in arguments] == [("10", "2.0"), ("11", "2.0"), ("12", "6.0"), ("13", "6.0")]
    assert {words[3] for words in arguments} == {str(SLOTS)}


def test_the_capacity_is_that_of_all_servers_together() -> None:
    assert capacity(requests(0)) == pytest.approx(engine_rate(requests(0), SLOTS) * (2 / 2.0 + 2 / 6.0))


def test_slow_servers_are_cheaper_for_each_token() -> None:
    assert SLOW.input_price < FAST.input_price
    assert SLOW.output_price < FAST.output_price
    assert SERVERS == (FAST, FAST, SLOW, SLOW)
    assert SLOW.labels["gpu-type"] == "slow"
