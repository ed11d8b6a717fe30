from collections.abc import AsyncIterator

import pytest

from epp.gateway.fakes import FakeEpp, model_server, serve_epp
from turnout.epp.gateway.options import Address


@pytest.fixture
async def epp() -> AsyncIterator[FakeEpp]:
    async with serve_epp() as running:
        yield running


@pytest.fixture
async def alive() -> AsyncIterator[Address]:
    async with model_server() as address:
        yield address


@pytest.fixture
async def other() -> AsyncIterator[Address]:
    async with model_server() as address:
        yield address
