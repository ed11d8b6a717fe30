"""What time of day it is, for the few plugins that have to know."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_UNIX = datetime(9999, 12, 30, tzinfo=UTC).timestamp()


class WallClock:
    """Turns the time that plugins are told into the time of day. It reads no clock.

    A constructor parameter of this type receives the clock of the process. There is one for all plugins, which
    outlives reloads. Whoever owns it sets it again when the time of the machine was set, so that the time of day of
    one and the same ``now`` may change between two steps, in either direction.
    """

    __slots__ = ("_unix_at_zero",)

    def __init__(self, unix_at_zero: float = 0.0) -> None:
        self._unix_at_zero = unix_at_zero

    def set(self, unix_at_zero: float) -> None:
        """From now on ``now`` 0.0 is this moment, in seconds since 1970."""
        self._unix_at_zero = unix_at_zero

    def unix(self, now: float) -> float:
        """Seconds since 1970, UTC."""
        return self._unix_at_zero + now

    def now_at(self, unix: float) -> float:
        """What ``now`` is at a time in seconds since 1970."""
        return unix - self._unix_at_zero

    def at(self, now: float) -> datetime:
        """The time of day in UTC, within the years that a ``datetime`` has."""
        return _EPOCH + timedelta(seconds=min(max(self.unix(now), 0.0), _LATEST_UNIX))
