from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from engines.vllm_server import VllmServer, vllm_server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VllmServer]:
    """One server for all tests: starting takes most of a minute."""
    async with vllm_server(tmp_path_factory.mktemp("vllm")) as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
