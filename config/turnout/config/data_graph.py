"""Who writes what whom reads: adds missing producers, orders them in stages, refuses what cannot be satisfied.

A reader needs a writer that runs earlier in the life of a request: classifiers, then flow control, then screeners,
then data producers, then admitters, then the scheduling cycle, then what follows a dispatch. Producers are ordered
among themselves by their keys. A key that is only read optionally orders its producers where it can, and makes none.

A plugin that runs both before the producers and after them, such as a detector that also accounts for dispatches,
reads its keys where it runs after them.
"""

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

from turnout.config.assembly import Assembly, Instance
from turnout.config.catalogue import IN_FLIGHT_PRODUCER
from turnout.config.problems import one_of, shown
from turnout.config.shape import REPAIRED
from turnout.framework import (
    PROMPT,
    REQUEST_BODY,
    AdaptivePolicy,
    Admitter,
    Classifier,
    DataProducer,
    DecisionAdmitter,
    DispatchAccounting,
    DispatchGate,
    EffectivePriorityPolicy,
    EntryPolicy,
    EvictionFilterPolicy,
    EvictionOrderingPolicy,
    FairnessPolicy,
    Filter,
    Named,
    OrderingPolicy,
    Picker,
    PreRequest,
    ProfileHandler,
    RankedFairnessPolicy,
    RequestRefused,
    ResponseBody,
    ResponseComplete,
    ResponseHeaders,
    SaturationDetector,
    Scorer,
    Screener,
    StateKey,
    UsageLimitPolicy,
)
from turnout.framework.registry import serves

Key = StateKey[Any]
Stages = tuple[tuple[Named[DataProducer], ...], ...]

_QUEUE = (
    OrderingPolicy,
    EffectivePriorityPolicy,
    FairnessPolicy,
    RankedFairnessPolicy,
    DispatchAccounting,
    AdaptivePolicy,
    SaturationDetector,
    UsageLimitPolicy,
    DispatchGate,
    EntryPolicy,
    EvictionOrderingPolicy,
    EvictionFilterPolicy,
    # A request may be refused as early as that.
    RequestRefused,
)
_STEPS: tuple[tuple[type, ...], ...] = (
    (Classifier,),
    _QUEUE,
    (Screener,),
    (DataProducer,),
    (Admitter,),
    (ProfileHandler, Filter, Scorer, Picker),
    (DecisionAdmitter,),
    (PreRequest,),
    (ResponseHeaders,),
    (ResponseBody,),
    (ResponseComplete,),
)
# The request handler writes these itself.
_GIVEN = frozenset((PROMPT, REQUEST_BODY))
_CLASSIFYING, _QUEUEING = 0, 1
_ATTRIBUTES = ("reads", "optional_reads", "writes")


def add_producers(assembly: Assembly) -> None:
    """Injects the in-flight accounting, and a producer for each key that is read and that nothing writes."""
    if assembly.of_type(IN_FLIGHT_PRODUCER) is None:
        assembly.ensure(IN_FLIGHT_PRODUCER)
    pending = list(assembly.instances.values())
    for instance in pending:  # grows by what is injected, at most one plugin for each type on offer
        _check_attributes(assembly, instance)
        for key in keys(instance, "reads"):
            if key not in _GIVEN and not writers(assembly, key) and key.producer not in assembly.instances:
                made = assembly.ensure(key.producer)
                pending += [made] if made is not None else []


def check_reads(assembly: Assembly) -> None:
    """Reports every key that no earlier plugin writes; of optional ones those that somebody meant to be written."""
    for instance in assembly.instances.values():
        _check_optional(assembly, instance)
        for key in keys(instance, "reads"):
            if key in _GIVEN:
                continue
            found = writers(assembly, key)
            if not found and not assembly.lacks(key.producer or REPAIRED):
                _report_missing(assembly, instance, key)
            elif found and all(_writes_at(writer) > _reads_at(instance) for writer in found):
                message = (
                    f"plugin {shown(instance.name)} reads {shown(key.name)} before {shown(found[0].name)} writes it"
                )
                assembly.report.problem(instance.place, message)


def producer_stages(assembly: Assembly) -> Stages:
    """The data producers in stages, each in the order of the file; empty after reporting a cycle."""
    producers = {named.name: named for named in assembly.serving(DataProducer)}
    graph = {name: _sources(assembly, name, "reads") for name in producers}
    cycle = _cycle(graph)
    if cycle:
        members = [assembly.instances[name] for name in cycle]
        instance = next((member for member in members if not member.injected), members[0])
        read = ", ".join(sorted({key.name for name in cycle for key in keys(assembly.instances[name], "reads")}))
        message = f"data producers wait for each other: {' -> '.join(cycle)}; the keys they read: {read}"
        assembly.report.problem(instance.place, message, "accepted: producers without a cycle")
        return ()
    for name in producers:
        for source in sorted(_sources(assembly, name, "optional_reads") - graph[name]):
            wider = graph | {name: graph[name] | {source}}
            graph = graph if _cycle(wider) else wider
    return tuple(tuple(producers[name] for name in producers if name in stage) for stage in _stages(graph))


def keys(instance: Instance, attribute: str) -> tuple[Key, ...]:
    """The keys that a plugin declares under an attribute; a plugin need not have it."""
    declared = getattr(instance.plugin, attribute, ())
    if not isinstance(declared, Iterable):
        return ()
    return tuple(key for key in declared if isinstance(key, StateKey))


def writers(assembly: Assembly, key: Key) -> list[Instance]:
    """Every plugin that declares to write the key."""
    return [instance for instance in assembly.instances.values() if key in keys(instance, "writes")]


def _check_attributes(assembly: Assembly, instance: Instance) -> None:
    for attribute in _ATTRIBUTES:
        declared = getattr(instance.plugin, attribute, ())
        if not isinstance(declared, tuple) or len(keys(instance, attribute)) != len(declared):
            message = f"plugin {shown(instance.name)}: its attribute {attribute!r} is no tuple of StateKey"
            assembly.report.problem(instance.place, message)


def _check_optional(assembly: Assembly, instance: Instance) -> None:
    optional = keys(instance, "optional_reads")
    # Who would take one of several producers' has what it needs.
    found = {key.name for key in optional if writers(assembly, key)}
    for key in optional:
        if key in _GIVEN or not key.producer or key.name in found or assembly.lacks(key.producer):
            continue
        same = _writers_of_name(assembly, key)
        # That a plugin on offer is not configured is what optional means; a name that nobody has is a mistake.
        if same or key.producer in assembly.instances or not assembly.is_offered(key.producer):
            message = f"plugin {shown(instance.name)} goes without {shown(key.name)}: {shown(key.producer)} writes none"
            assembly.report.warn(instance.place, message, one_of(key.producer, same) if same else "")


def _writers_of_name(assembly: Assembly, key: Key) -> set[str]:
    """The plugins that write a key of the same name, of whatever producer."""
    return {
        other.name
        for other in assembly.instances.values()
        if any(written.name == key.name for written in keys(other, "writes"))
    }


def _report_missing(assembly: Assembly, instance: Instance, key: Key) -> None:
    message = f"plugin {shown(instance.name)} reads {shown(key.name)}, which no plugin writes"
    if key.producer in assembly.instances:
        message = f"plugin {shown(instance.name)} reads {shown(key.name)}, which {shown(key.producer)} does not write"
    elif key.producer:
        message += f"; there is no plugin {shown(key.producer)}"
    same = _writers_of_name(assembly, key)
    hint = one_of(key.producer, same) if same else "add a plugin that writes it"
    assembly.report.problem(instance.place, message, hint)


def _reads_at(instance: Instance) -> int:
    """The step at which the plugin first runs for a request, if it can be after the producers."""
    return _first(instance, but=(_CLASSIFYING, _QUEUEING))


def _writes_at(instance: Instance) -> int:
    """The step at which the plugin first runs and may write: a policy of the queue only answers."""
    return _first(instance, but=(_QUEUEING,))


def _first(instance: Instance, but: tuple[int, ...]) -> int:
    """The first step of the plugin, one of ``but`` only if it has no other; a number past the last if it has none."""
    found = [step for step, roles in enumerate(_STEPS) if any(serves(instance.plugin, role) for role in roles)]
    return next((step for step in found if step not in but), next(iter(found), len(_STEPS)))


def _sources(assembly: Assembly, reader: str, attribute: str) -> set[str]:
    """The other producers that write what this one reads."""
    found = {writer.name for key in keys(assembly.instances[reader], attribute) for writer in writers(assembly, key)}
    return {name for name in found if name != reader and serves(assembly.instances[name].plugin, DataProducer)}


def _cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def _stages(graph: dict[str, set[str]]) -> list[frozenset[str]]:
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    stages = []
    while sorter.is_active():
        ready = sorter.get_ready()
        stages.append(frozenset(ready))
        sorter.done(*ready)
    return stages
