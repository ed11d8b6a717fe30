import asyncio
from dataclasses import dataclass, field

from turnout.epp.runnables import Runnables
from turnout.framework import Named, PluginError


@dataclass
class Feed:
    """Runs until cancelled, and takes its time to close."""

    closed: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_close: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0
    most_open: int = 0

    async def run(self) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self.may_close.wait()
            self.open -= 1
            self.closed.set()


class Broken:
    async def run(self) -> None:
        raise OSError("the feed is gone")


async def test_a_plugin_that_fails_is_told_of_and_costs_the_others_nothing() -> None:
    failures: list[PluginError] = []
    feed = Feed()
    runnables = Runnables(failures.append)
    runnables.run([Named(Broken(), "broken"), Named(feed, "feed")])
    broken, working = runnables.tasks
    await broken
    assert [(error.plugin, str(error.__cause__)) for error in failures] == [("broken", "the feed is gone")]
    assert not working.done()
    working.cancel()
    feed.may_close.set()
    await asyncio.wait({working})


async def test_a_plugin_that_stays_is_not_called_again_before_its_earlier_call_has_returned() -> None:
    feed = Feed()
    runnables = Runnables(lambda error: None)
    runnables.run([Named(feed, "feed")])
    await feed.begun.wait()
    feed.begun.clear()
    runnables.run([Named(feed, "feed")])
    feed.may_close.set()
    await feed.closed.wait()
    await feed.begun.wait()
    assert (feed.open, feed.most_open) == (1, 1)
    runnables.run([])
    await asyncio.wait(runnables.tasks)
    assert feed.open == 0
