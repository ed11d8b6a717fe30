"""Calls into NVML that may fail one by one: what fails becomes a gap and takes nothing else with it."""

from collections.abc import Callable
from typing import TypeVar

import pynvml

from turnout.epp.observe.labels import printable
from turnout.plugins.topology.machine import MAX_TEXT, Gap

T = TypeVar("T")

# What a GPU says when nothing more is to be had from it; each further call could take seconds.
_LOST = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
NOT_SUPPORTED = frozenset({pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND})
NOT_THERE = NOT_SUPPORTED | {pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT}
NOTHING: frozenset[int] = frozenset()


class GpuCalls:
    """Asks for things of one GPU, and keeps what was not answered."""

    def __init__(self, gpu: int | None) -> None:
        self.gaps: list[Gap] = []
        self.lost = False
        self._gpu = gpu

    def ask(self, what: str, call: Callable[..., T], *args: object, absent: frozenset[int] = NOTHING) -> T | None:
        """The answer; None if there is none, which is a gap except for the errors that mean ``absent``.

        Once the GPU is lost it is not asked any more.
        """
        if self.lost:
            return None
        try:
            return call(*args)
        except pynvml.NVMLError as error:
            self._failed(what, error, absent)
        except UnicodeDecodeError:
            self.missing(what, "the driver's text is not UTF-8")
        return None

    def _failed(self, what: str, error: pynvml.NVMLError, absent: frozenset[int]) -> None:
        if error.value in _LOST:
            self.lost = True
            self.missing("everything else", f"{error}, when asked for {what}")
        elif error.value not in absent:
            self.missing(what, str(error))

    def missing(self, what: str, why: str) -> None:
        """Notes a gap."""
        self.gaps.append(Gap(gpu=self._gpu, what=what, why=printable(why, MAX_TEXT)))

    def text(self, what: str, call: Callable[..., str], *args: object) -> str:
        """A printable text of bounded length; empty if there is none."""
        found = self.ask(what, call, *args)
        return printable(found, MAX_TEXT) if found else ""

    def number(
        self, what: str, call: Callable[..., int], *args: object, limit: int, absent: frozenset[int] = NOTHING
    ) -> int | None:
        """A number from 0 to the limit; one beyond it is a gap."""
        found = self.ask(what, call, *args, absent=absent)
        if found is None or 0 <= found <= limit:
            return found
        self.missing(what, f"the driver says {found}, which cannot be")
        return None
