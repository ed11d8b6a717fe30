"""Lanes of flow control: classes of requests, and the endpoints that can serve each."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from turnout.config.assembly import Assembly
from turnout.config.pipeline import LaneSettings
from turnout.config.problems import Path, Report, shown
from turnout.config.schema import FlowControl, Lane
from turnout.config.shape import REPAIRED

MOST_LANES = 32

# The characters of a token of HTTP.
_HEADER = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def build_lanes(assembly: Assembly, section: FlowControl) -> tuple[LaneSettings, ...]:
    """The lanes in the order of the file, every problem of them reported."""
    report = assembly.report
    path: Path = ("flowControl", "lanes")
    if len(section.lanes) > MOST_LANES:
        report.problem(path, f"there are {len(section.lanes)} lanes", f"at most {MOST_LANES}")
    positions: dict[str, int] = {}
    for position, lane in enumerate(section.lanes):
        first = positions.setdefault(lane.name, position)
        if first != position and lane.name != REPAIRED:
            message = f"duplicate lane name {shown(lane.name)}, first in lanes[{first}]"
            report.problem((*path, position, "name"), message, "each name is used once")
    return tuple(_lane(report, lane, (*path, position)) for position, lane in enumerate(section.lanes))


def _lane(report: Report, lane: Lane, path: Path) -> LaneSettings:
    match = lane.match
    if not (match.models or match.paths or match.headers or report.has_within((*path, "match"))):
        report.problem((*path, "match"), "matches every request", "accepted: models, paths or headers")
    if not (lane.endpoints.match_labels or report.has_within((*path, "endpoints"))):
        report.problem((*path, "endpoints"), "selects every endpoint", "accepted: matchLabels with at least one label")
    paths = tuple(ending.strip("/") for ending in match.paths)
    for position, ending in enumerate(paths):
        if not ending:
            message = f"{shown(match.paths[position])} has no segment"
            report.problem((*path, "match", "paths", position), message, "accepted: a path ending such as completions")
    return LaneSettings(
        name=lane.name,
        models=frozenset(match.models),
        paths=paths,
        headers=_headers(report, match.headers, (*path, "match", "headers")),
        endpoints=MappingProxyType(dict(lane.endpoints.match_labels)),
    )


def _headers(report: Report, given: Mapping[str, str], path: Path) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in given.items():
        if not _HEADER.match(name):
            report.problem((*path, name), f"{shown(name)} is no name of a header")
        elif name.lower() in headers:
            report.problem((*path, name), f"the header {shown(name.lower())} is given twice", "names have no case")
        headers[name.lower()] = value
    return MappingProxyType(headers)
