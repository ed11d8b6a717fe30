"""The state of one request: typed keys and the place where plugins leave values for each other."""

from collections.abc import Mapping
from typing import Any, Generic, NewType, TypeVar, cast, overload

from turnout.framework.errors import MissingStateError

# Invariant on purpose: a covariant key would let a reader see a type that the writer never promised.
T = TypeVar("T")
D = TypeVar("D")

PluginName = NewType("PluginName", str)
"""A constructor parameter of this type receives the name that the configuration gave the plugin."""

Quantity = NewType("Quantity", int)
"""A constructor parameter of this type may be spelled as a Kubernetes quantity, ``600Gi``; it is not negative."""


class StateKey(Generic[T]):
    """Names a value of type ``T`` in the state of a request. Two keys are equal only if they are the same object.

    ``producer`` is the name of the plugin that writes the key. Assembly adds a plugin of that name and
    type when the configuration reads the key and lists no writer of it.
    """

    __slots__ = ("name", "producer")

    def __init__(self, name: str, producer: str = "") -> None:
        self.name = name
        self.producer = producer

    def __repr__(self) -> str:
        return f"StateKey({self.name!r}, producer={self.producer!r})"


class KeyFamily(Generic[T]):
    """One kind of value that several producers may publish side by side, one key for each producer's name."""

    __slots__ = ("_keys", "default_producer", "name")

    def __init__(self, name: str, default_producer: str) -> None:
        self.name = name
        self.default_producer = default_producer
        self._keys: dict[str, StateKey[T]] = {}

    def of(self, producer: str) -> StateKey[T]:
        """The one key under which the plugin with this name publishes; an empty name means the default."""
        producer = producer or self.default_producer
        key = self._keys.get(producer)
        if key is None:
            # Bounded by the number of plugin names that configurations use.
            key = self._keys[producer] = StateKey(self.name, producer)
        return key


class CycleState:
    """What plugins know about one request; lives from its first header to the end of its response.

    ``now`` is the time of the current step in seconds on the caller's monotonic clock. The caller moves it
    forward before each step; no plugin reads another clock.
    """

    __slots__ = ("_values", "now")

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self._values: dict[StateKey[Any], object] = {}

    def write(self, key: StateKey[T], value: T) -> None:
        """Sets the key's value, replacing an earlier one."""
        self._values[key] = value

    def discard(self, key: StateKey[Any]) -> None:
        """Forgets the key's value, if it has one."""
        self._values.pop(key, None)

    def read(self, key: StateKey[T]) -> T:
        """The key's value.

        Raises:
            MissingStateError: nobody wrote it for this request.
        """
        try:
            return cast("T", self._values[key])
        except KeyError:
            raise MissingStateError(key.name) from None

    @overload
    def get(self, key: StateKey[T]) -> T | None: ...
    @overload
    def get(self, key: StateKey[T], default: D) -> T | D: ...
    def get(self, key: StateKey[T], default: D | None = None) -> T | D | None:
        """The key's value, or the default if nobody wrote it."""
        return cast("T | D | None", self._values.get(key, default))

    def __contains__(self, key: StateKey[Any]) -> bool:
        return key in self._values

    def written(self) -> Mapping[StateKey[Any], object]:
        """A copy of everything written so far, for explanations."""
        return dict(self._values)
