"""Clients that send one chat after the other."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self

import aiohttp

from integration.gateways import Gateway, until


class Load:
    """Each worker's requests differ in their prompts. ``outcomes`` counts statuses and the names of exceptions."""

    def __init__(self, gateway: Gateway, workers: int = 8) -> None:
        self.outcomes: Counter[int | str] = Counter()
        self._gateway = gateway
        self._workers = workers
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work(worker)) for worker in range(self._workers)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def answered(self, more: int) -> None:
        """Returns when so many more requests have had an outcome."""
        wanted = self.outcomes.total() + more

        async def enough() -> bool:
            return self.outcomes.total() >= wanted

        await until(enough, f"{more} more answers")

    async def _work(self, worker: int) -> None:
        number = 0
        while not self._over:
            number += 1
            try:
                self.outcomes[(await self._gateway.chat(f"{worker} {number}")).status] += 1
            except aiohttp.ClientError as error:
                self.outcomes[type(error).__name__] += 1
