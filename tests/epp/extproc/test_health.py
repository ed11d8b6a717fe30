import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from turnout.epp.extproc.health import EXT_PROC, HealthServer, Readiness

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Ready:
    """Readiness to switch."""

    def __init__(self) -> None:
        self.is_ready = True
        self.readiness = Readiness(lambda: self.is_ready)


@pytest.fixture
def state() -> Ready:
    return Ready()


@pytest.fixture
async def stub(state: Ready) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    server = HealthServer(state.readiness, host="127.0.0.1", port=0)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop()


async def check(stub: health_pb2_grpc.HealthStub, service: str) -> int:
    response = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(response.status)


@pytest.mark.parametrize(
    ("service", "when_not_ready"),
    [
        pytest.param("", NOT_SERVING, id="no name"),
        pytest.param("readiness", NOT_SERVING, id="readiness"),
        pytest.param(EXT_PROC, NOT_SERVING, id="the ext_proc service"),
        pytest.param("anything", NOT_SERVING, id="any other name"),
        pytest.param("liveness", SERVING, id="liveness does not depend on readiness"),
    ],
)
async def test_a_name_is_serving_as_long_as_it_should(
    state: Ready, stub: health_pb2_grpc.HealthStub, service: str, when_not_ready: int
) -> None:
    assert await check(stub, service) == SERVING
    state.is_ready = False
    assert await check(stub, service) == when_not_ready
    state.is_ready = True
    state.readiness.drain()
    assert await check(stub, service) == NOT_SERVING


async def test_list_names_the_services_that_mean_something(state: Ready, stub: health_pb2_grpc.HealthStub) -> None:
    state.is_ready = False
    response = await stub.List(health_pb2.HealthListRequest())
    assert {name: state.status for name, state in response.statuses.items()} == {
        EXT_PROC: NOT_SERVING,
        "liveness": SERVING,
        "readiness": NOT_SERVING,
    }


async def test_watch_tells_of_the_drain_at_once_and_ends(state: Ready, stub: health_pb2_grpc.HealthStub) -> None:
    call = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await call.read()).status == SERVING
    state.readiness.drain()
    assert (await call.read()).status == NOT_SERVING
    assert await call.code() is grpc.StatusCode.OK


async def test_watch_tells_of_readiness(state: Ready, stub: health_pb2_grpc.HealthStub) -> None:
    call = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await call.read()).status == SERVING
    state.is_ready = False
    assert (await call.read()).status == NOT_SERVING
    call.cancel()


async def test_waiting_for_a_drain_has_a_limit(state: Ready) -> None:
    async with asyncio.timeout(5):
        await state.readiness.wait_for_drain(0.0)
    assert not state.readiness.draining
