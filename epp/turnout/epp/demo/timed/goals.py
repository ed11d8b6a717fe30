"""What a scenario has to reach."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that is to hold, in words with its figures."""

    text: str
    reached: bool
