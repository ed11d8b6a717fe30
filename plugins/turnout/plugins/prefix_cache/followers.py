"""Keeps the subscriptions of the endpoints that are followed, as the pool changes."""

import asyncio
from collections.abc import Mapping, Sequence

import zmq

from turnout.framework import Endpoint
from turnout.plugins.prefix_cache.engine_index import EngineIndex, Followed
from turnout.plugins.prefix_cache.event_stream import Action
from turnout.plugins.prefix_cache.precise_config import KVEventsConfig
from turnout.plugins.prefix_cache.publishers import Publisher, locate
from turnout.plugins.prefix_cache.zmq_subscriber import CentralSubscriber, EventSubscriber, SharedSockets
from turnout.plugins.prefix_cache.zmq_subscriber import Publisher as Sender


class Followers:
    """Follows every endpoint of the pool at its own address, or waits for engines to connect.

    ``problems`` says, by name, why an endpoint cannot be followed.
    """

    def __init__(self, index: EngineIndex, config: KVEventsConfig) -> None:
        self.problems: Mapping[str, str] = {}
        self._index = index
        self._config = config
        self._endpoints: Sequence[Endpoint] = ()
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """The pool has these endpoints."""
        self._endpoints = endpoints
        self._changed.set()

    async def run(self) -> None:
        """Reads events until cancelled. When it is called again, what was known before is verified first.

        Raises:
            OSError: the address at which engines shall connect cannot be used.
        """
        shared = SharedSockets()
        try:
            central = self._central(shared) if self._config.zmq_endpoint else None
            async with asyncio.TaskGroup() as tasks:
                if central is not None:
                    tasks.create_task(central.run())
                self._changed.set()
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    self._adjust(tasks, shared, central)
        finally:
            self._tasks.clear()
            shared.close()

    def _adjust(self, tasks: asyncio.TaskGroup, shared: SharedSockets, central: CentralSubscriber | None) -> None:
        """Begins to follow who is new, and ends with who has left."""
        before = dict(self._index.followed)
        self._index.follow(self._publishers(), asyncio.get_running_loop().time())
        for name, followed in before.items():
            if self._index.followed.get(name) is not followed and (task := self._tasks.pop(name, None)) is not None:
                task.cancel()
        if central is not None:
            self._forget_strangers(central)
            return
        for name, followed in self._index.followed.items():
            if name not in self._tasks:
                self._tasks[name] = tasks.create_task(self._follow(shared, followed))

    def _publishers(self) -> Mapping[str, Publisher]:
        if self._config.zmq_endpoint:
            self.problems = {}
            return {
                endpoint.name: Publisher(self._config.zmq_endpoint, "", topic=endpoint.host_port)
                for endpoint in self._endpoints
            }
        if not self._config.discover_pods:
            return {}
        located = locate(self._endpoints, self._config.pod_discovery_config)
        self.problems = located.problems
        return located.of

    async def _follow(self, shared: SharedSockets, followed: Followed) -> None:
        before, publisher = followed.stream, followed.publisher
        subscriber = EventSubscriber(
            shared,
            publisher.events,
            lambda actions: self._index.act(followed, actions),
            replay_address=publisher.replay or None,
            resume=before.position,
        )
        followed.stream = subscriber.stream
        try:
            await subscriber.run()
        except zmq.ZMQError as error:
            followed.problem = str(error)

    # --- engines that connect to this process ------------------------------------------------------------

    def _central(self, shared: SharedSockets) -> CentralSubscriber:
        def act(sender: Sender, actions: Sequence[Action]) -> None:
            followed = self._of(sender)
            if followed is not None:
                followed.stream = central.streams[sender]
                self._index.act(followed, actions)

        central = CentralSubscriber(
            shared,
            self._config.zmq_endpoint,
            act,
            accepts=lambda sender: self._of(sender) is not None,
            topic_filter=self._config.topic_filter,
        )
        return central

    def _of(self, sender: Sender) -> Followed | None:
        """The endpoint that a topic names, by address and port or, if that is one endpoint only, by address."""
        named = [
            endpoint
            for endpoint in self._endpoints
            if endpoint.address == sender.host and sender.port in (None, endpoint.port)
        ]
        return self._index.followed.get(named[0].name) if len(named) == 1 else None

    def _forget_strangers(self, central: CentralSubscriber) -> None:
        for sender in [sender for sender in central.streams if self._of(sender) is None]:
            central.forget(sender)
