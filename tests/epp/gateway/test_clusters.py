import pytest

from epp.gateway.fakes import FakeEpp, free_port, gateway
from turnout.epp.gateway.clusters import assignment, epp_cluster, model_servers_cluster
from turnout.epp.gateway.options import Address, Balanced, EppTls, GatewayOptions, OriginalDst, OverrideHost


def test_an_endpoint_by_name_is_resolved_and_one_by_address_is_not() -> None:
    by_address, by_name = Address("::1", 1), Address("localhost", 1)
    assert model_servers_cluster(Balanced((by_address,), "round-robin"))["type"] == "STATIC"
    assert model_servers_cluster(Balanced((by_address, by_name), "round-robin"))["type"] == "STRICT_DNS"
    assert model_servers_cluster(OriginalDst())["type"] == "ORIGINAL_DST"


def test_an_ipv6_endpoint_is_written_without_brackets() -> None:
    socket = {"address": "::1", "port_value": 8000}
    assert assignment("pool", [Address.parse("[::1]:8000")]) == {
        "cluster_name": "pool",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}],
    }


def test_tls_to_the_epp_is_off_unless_asked_for() -> None:
    address = Address("127.0.0.1", 9002)
    assert "transport_socket" not in epp_cluster(address, None)
    assert "transport_socket" in epp_cluster(address, EppTls())


@pytest.mark.integration
async def test_a_dead_first_pick_costs_a_retry_and_no_error(epp: FakeEpp, alive: Address, other: Address) -> None:
    dead = Address("127.0.0.1", free_port())
    epp.pick = f"{dead},{other}"
    async with gateway(GatewayOptions(OverrideHost((alive, other, dead)), epp=epp.address)) as running:
        answers = [await running.post(b"x" * 5_000_000) for _ in range(3)]
        ends = [await epp.ended.get() for _ in range(3)]
    assert [(answer.status, answer.served, answer.length) for answer in answers] == [(200, str(other), 5_000_000)] * 3
    assert [(end.served, end.attempts, end.response_flags) for end in ends] == [(str(other), 2, ())] * 3


@pytest.mark.integration
async def test_a_single_dead_pick_is_served_by_another_endpoint(epp: FakeEpp, alive: Address) -> None:
    dead = Address("127.0.0.1", free_port())
    epp.pick = str(dead)
    async with gateway(GatewayOptions(OverrideHost((alive, dead)), epp=epp.address)) as running:
        answers = [await running.post() for _ in range(4)]
    assert [(answer.status, answer.served) for answer in answers] == [(200, str(alive))] * 4


@pytest.mark.integration
async def test_every_endpoint_dead_is_an_error_after_four_attempts(epp: FakeEpp) -> None:
    dead = Address("127.0.0.1", free_port())
    epp.pick = str(dead)
    async with gateway(GatewayOptions(OverrideHost((dead,)), epp=epp.address)) as running:
        assert (await running.post()).status == 503
        end = await epp.ended.get()
    assert (end.served, end.attempts, end.status, end.response_flags) == (str(dead), 4, 503, ("UF", "URX"))


@pytest.mark.integration
async def test_a_request_that_reached_an_endpoint_is_never_sent_again(epp: FakeEpp, alive: Address) -> None:
    epp.pick = str(alive)
    async with gateway(GatewayOptions(OverrideHost((alive,)), epp=epp.address)) as running:
        assert (await running.post(path="/hang-up")).status == 503
        end = await epp.ended.get()
    assert (end.attempts, end.response_flags, end.time_to_first_byte_seconds) == (1, ("UC",), None)


@pytest.mark.integration
async def test_round_robin_takes_turns(alive: Address, other: Address) -> None:
    async with gateway(GatewayOptions(Balanced((alive, other), "round-robin"))) as running:
        served = [(await running.post()).served for _ in range(4)]
    assert sorted(served) == sorted([str(alive), str(other)] * 2)


@pytest.mark.integration
async def test_least_request_leaves_alone_the_endpoint_that_is_busy(alive: Address, other: Address) -> None:
    async with gateway(GatewayOptions(Balanced((alive, other), "least-request"))) as running:
        url = f"http://127.0.0.1:{running.port}/endless"
        async with running.client.post(url, data=b"{}") as busy:
            assert await busy.content.readexactly(9) == b"data: x\n\n"
            # Two endpoints drawn at random, Envoy's default, would be the busy one twice in a quarter of the draws.
            served = [(await running.post()).served for _ in range(40)]
    assert len(set(served)) == 1
