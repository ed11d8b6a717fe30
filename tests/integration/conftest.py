from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integration.gateways import Mode, World, world
from integration.model_servers import ModelServer, model_servers


@pytest.fixture(
    params=[pytest.param(Mode.BUFFERED, id="buffered"), pytest.param(Mode.FULL_DUPLEX, id="full duplex")],
)
def mode(request: pytest.FixtureRequest) -> Mode:
    assert isinstance(request.param, Mode)
    return request.param


@pytest.fixture
async def servers() -> AsyncIterator[list[ModelServer]]:
    async with model_servers("a", "b", "c", "d") as running:
        yield running


@pytest.fixture
async def running(mode: Mode, servers: list[ModelServer], tmp_path: Path) -> AsyncIterator[World]:
    """The default configuration in front of four model servers, in each body mode."""
    async with world(mode, tmp_path, [server.url for server in servers]) as started:
        yield started
