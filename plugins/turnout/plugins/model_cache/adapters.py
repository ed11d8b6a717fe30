"""Which of the names that clients ask for have to be loaded at all."""

from collections import OrderedDict
from collections.abc import Collection, Sequence

from turnout.framework import Endpoint

MAX_ADAPTERS = 1_024


class KnownAdapters:
    """Names of LoRA adapters: those that are stated, and at most 1,024 that engines reported, the latest kept."""

    def __init__(self, stated: Collection[str] = ()) -> None:
        self._stated = frozenset(stated)
        self._reported: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: object) -> bool:
        return name in self._stated or name in self._reported

    def __len__(self) -> int:
        return len(self._reported)

    def look(self, name: str, endpoints: Sequence[Endpoint]) -> bool:
        """Whether the name is known; it is remembered if some engine has it among its adapters."""
        for endpoint in endpoints:
            metrics = endpoint.metrics
            if name in metrics.active_adapters or name in metrics.waiting_adapters:
                self._remember(name)
                return True
        return name in self

    def _remember(self, name: str) -> None:
        self._reported[name] = None
        self._reported.move_to_end(name)
        if len(self._reported) > MAX_ADAPTERS:
            self._reported.popitem(last=False)
