"""Who belongs to a gang, and what its members have to have in common: the parameters."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from turnout.framework import Endpoint, InferenceRequest, Quantity

NO_LIMIT = Quantity(0)

MAX_MEMBERS = 64
"""Of one gang, so that neither the search nor the header of members grows beyond reason."""

_NAME = re.compile(r"[!-+\--<>-~]+\Z")  # printable, without space, comma and equals sign

Sizes: TypeAlias = tuple[int, ...]
"""How many endpoints each member is for one request, in the order of the members."""

Gang: TypeAlias = tuple[tuple[str, ...], ...]
"""The names of the endpoints of each member, in the order of the members, best first."""


@dataclass(frozen=True, slots=True)
class Member:
    """A part of the gang: ``count`` endpoints that ``profile`` chooses among.

    With ``count`` 0 they are as many as the request asks answers for, at most ``max_count``. Only endpoints with all of
    ``match_labels`` can be it; this is what flow control knows of who can.

    Raises:
        ValueError: the profile's name cannot stand in a header, or a count is out of its range.
    """

    profile: str
    count: int = 1
    match_labels: Mapping[str, str] = field(default_factory=dict)
    max_count: int = 8

    def __post_init__(self) -> None:
        if not _NAME.match(self.profile):
            raise ValueError(f"profile must have no spaces, commas or equals signs, got {self.profile!r}")
        if self.count < 0:
            raise ValueError(f"count must be at least 0, got {self.count}")
        if self.max_count < 1:
            raise ValueError(f"max_count must be at least 1, got {self.max_count}")

    @property
    def most(self) -> int:
        """How many endpoints it can be."""
        return self.count or self.max_count

    def size(self, request: InferenceRequest) -> int:
        """How many endpoints it is for this request."""
        return self.count or max(1, min(request.answers, self.max_count))

    def matches(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint has the labels."""
        return self.match_labels.items() <= endpoint.labels.items()


@dataclass(frozen=True, slots=True)
class Constraint:
    """What every two endpoints of the members ``between`` (profiles; empty: all) have to have in common.

    ``same`` are labels that both have, with one value. With ``same_node`` both are on one host. ``min_bandwidth`` is in
    bytes per second, of the way from one to the other; 0: any.

    Raises:
        ValueError: it asks for nothing, or names an empty label.
    """

    between: Sequence[str] = ()
    same: Sequence[str] = ()
    same_node: bool = False
    min_bandwidth: Quantity = NO_LIMIT

    def __post_init__(self) -> None:
        if not all(self.same):
            raise ValueError(f"same must not have an empty label, got {list(self.same)!r}")
        if self.min_bandwidth < 0:
            raise ValueError(f"min_bandwidth must be at least 0, got {self.min_bandwidth}")
        if not (self.same or self.same_node or self.min_bandwidth):
            raise ValueError("a constraint must have at least one of same, same_node and min_bandwidth, got none")


class GangShape:
    """The members of every gang of one configuration, and which of them gets the request.

    Raises:
        ValueError: no member, two of one profile, more than 64 endpoints, a ``primary`` that is no member, or a
            constraint between others than at least two endpoints of members.
    """

    def __init__(self, members: Sequence[Member], primary: str, constraints: Sequence[Constraint]) -> None:
        self.members = tuple(members)
        self.profiles = tuple(member.profile for member in self.members)
        if not self.members:
            raise ValueError("members must have at least one entry, got none")
        if len(set(self.profiles)) < len(self.profiles):
            raise ValueError(f"members must each have a profile of their own, got {', '.join(self.profiles)}")
        most = sum(member.most for member in self.members)
        if most > MAX_MEMBERS:
            raise ValueError(f"members must be at most {MAX_MEMBERS} endpoints, got {most}")
        self.primary = primary or self.profiles[-1]
        if self.primary not in self.profiles:
            raise ValueError(f"primary must be the profile of a member, got {primary!r}")
        self.constraints = tuple(constraints)
        for position, constraint in enumerate(self.constraints):
            self._check(f"constraints[{position}].between", constraint)

    def _check(self, place: str, constraint: Constraint) -> None:
        strangers = [name for name in constraint.between if name not in self.profiles]
        if strangers:
            raise ValueError(f"{place} must be profiles of members, got {strangers[0]!r}")
        concerned = [self.members[role].most for role in self.roles(constraint)]
        if sum(concerned) < 2:
            raise ValueError(f"{place} must be at least two endpoints, got {', '.join(constraint.between) or 'one'}")

    def roles(self, constraint: Constraint) -> tuple[int, ...]:
        """The members that a constraint is about, by their places."""
        return tuple(
            role
            for role, profile in enumerate(self.profiles)
            if not constraint.between or profile in constraint.between
        )

    def sizes(self, request: InferenceRequest) -> Sizes:
        """How many endpoints each member is for this request."""
        return tuple(member.size(request) for member in self.members)

    def described(self, sizes: Sizes) -> str:
        """Such as ``2 x prefill, decode``."""
        parts = (name if size == 1 else f"{size} x {name}" for name, size in zip(self.profiles, sizes, strict=True))
        return ", ".join(parts)
