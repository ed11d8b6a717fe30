"""Documents of machines, read so that a reading of the same machine as before is recognised. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from turnout.plugins.topology.document import parse
from turnout.plugins.topology.machine import Machine
from turnout.plugins.topology.sites import Described
from turnout.plugins.topology.structure import structure
from turnout.plugins.topology.ways import Ways

MAX_MACHINES = 4_096


@dataclass(frozen=True, slots=True)
class MachineReading:
    """A machine as it was at one moment, and what of it stays. ``read_at`` is that moment, in seconds since 1970."""

    machine: Machine
    described: Described
    read_at: float | None = None


NO_MACHINES: Mapping[str, MachineReading] = MappingProxyType({})


def read_machine(content: bytes, before: MachineReading | None = None) -> MachineReading:
    """The reading of one document; with the description of the reading before, if that still holds.

    Raises:
        ValueError: it is no document, or contradicts itself.
    """
    return _reading(parse(content), lambda _: before)


def read_machines(content: bytes, before: Mapping[str, MachineReading] = NO_MACHINES) -> Mapping[str, MachineReading]:
    """The readings of several machines, one document on each line, by the names of the machines.

    A single document may have line breaks. Descriptions of the readings ``before`` are kept where they still hold.

    Raises:
        ValueError: a line is no document, two are of one machine, or there are too many.
    """
    lines = [line for line in content.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].strip() in (b"{", b"["):
        lines = [content]
    if len(lines) > MAX_MACHINES:
        raise ValueError(f"it has {len(lines)} lines, more than {MAX_MACHINES} machines")
    found: dict[str, MachineReading] = {}
    for number, line in enumerate(lines, 1):
        try:
            reading = _reading(parse(line), before.get)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}" if len(lines) > 1 else str(error)) from error
        if found.setdefault(reading.machine.node, reading) is not reading:
            raise ValueError(f"line {number}: machine {reading.machine.node!r} is there twice")
    return found


def _reading(machine: Machine, before: Callable[[str], MachineReading | None]) -> MachineReading:
    lasting, earlier = structure(machine), before(machine.node)
    if earlier is not None and earlier.described.machine == lasting:
        return MachineReading(machine, earlier.described, _unix(machine.read_at))
    return MachineReading(machine, Described(lasting, Ways.of(lasting)), _unix(machine.read_at))


def _unix(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
