"""Faults that a simulated server shows when asked to."""

from collections.abc import Callable
from random import Random
from typing import Literal

import msgspec

FaultKind = Literal["none", "slow", "error", "hang", "reset", "crash"]
FaultScope = Literal["generation", "all"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong, and how often.

    Raises:
        ValueError: a number is out of its range.

    """

    kind: FaultKind = "none"
    """`slow`: steps take `factor` times as long. `error`: status 500. `hang`: the request is accepted and
    never answered. `reset`: the TCP connection is reset after `after_tokens` tokens of the answer. `crash`:
    the process exits with status 1, at once when the fault is set at run time, on the first request it
    strikes when it is set at the start."""
    factor: float = 4.0
    """`slow`: more than 0; below 1 makes the server faster."""
    share: float = 1.0
    """Share of the requests struck, 0 to 1, drawn with the server's seed. Does not apply to `slow`."""
    after_tokens: int = 1
    """`reset`: tokens sent before the connection is reset; 0 resets it before the status line."""
    scope: FaultScope = "generation"
    """`generation`: completions and chat only. `all`: also health, metrics, models; never `/sim/fault`
    itself."""

    def __post_init__(self) -> None:
        if not 0.0 < self.factor < float("inf"):
            raise ValueError(f"fault: factor must be a finite number above 0, got {self.factor}")
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"fault: share must be between 0 and 1, got {self.share}")
        if self.after_tokens < 0:
            raise ValueError(f"fault: after_tokens must be at least 0, got {self.after_tokens}")


def parse_fault(text: str) -> Fault:
    """Read a fault written as on a command line: `hang`, `slow:factor=3`, `error:share=0.2,scope=all`.

    Raises:
        ValueError: it is not of that form, or a value is out of its range.

    """
    kind, _, settings = text.partition(":")
    fields = {"kind": kind}
    for setting in filter(None, settings.split(",")):
        name, _, value = setting.partition("=")
        fields[name] = value
    try:
        return msgspec.convert(fields, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"fault {text!r}: {error}") from error


class FaultInjector:
    """Decides which requests the active fault strikes. `crash` ends the process, or stands in for that."""

    def __init__(self, fault: Fault, seed: int, crash: Callable[[], None]) -> None:
        self.active = fault
        self._random = Random(seed)
        self._crash = crash

    @property
    def slowdown(self) -> float:
        """By how much steps are stretched."""
        return self.active.factor if self.active.kind == "slow" else 1.0

    def activate(self, fault: Fault) -> None:
        """Replace the active fault; a crash happens now."""
        self.active = fault
        if fault.kind == "crash":
            self._crash()

    def strike(self, *, is_generation: bool) -> FaultKind:
        """Return what happens to one request, `none` for most; a crash does not return."""
        fault = self.active
        in_scope = is_generation or fault.scope == "all"
        if fault.kind in ("none", "slow") or not in_scope or self._random.random() >= fault.share:
            return "none"
        if fault.kind == "crash":
            self._crash()
        return fault.kind
