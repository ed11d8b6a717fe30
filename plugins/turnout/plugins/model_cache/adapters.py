"""Which of the names that clients ask for have to be loaded at all."""

from collections import OrderedDict
from collections.abc import Collection

from turnout.framework import EndpointMetrics

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

    def saw(self, name: str, metrics: EndpointMetrics) -> None:
        """Remembers the name if the engine has it among its adapters."""
        if name in metrics.active_adapters or name in metrics.waiting_adapters:
            self._reported[name] = None
            self._reported.move_to_end(name)
            if len(self._reported) > MAX_ADAPTERS:
                self._reported.popitem(last=False)
