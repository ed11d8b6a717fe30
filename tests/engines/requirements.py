"""Prints what an installed distribution needs here, but for the packages named: `requirements.py DIST WITHOUT...`."""

import sys
from importlib.metadata import requires

from packaging.requirements import Requirement


def needed(distribution: str, without: set[str]) -> list[str]:
    """Requirements that apply to this interpreter, without extras and without the packages named."""
    parsed = [Requirement(text) for text in requires(distribution) or ()]
    return [
        f"{requirement.name}{'[' + ','.join(sorted(requirement.extras)) + ']' if requirement.extras else ''}"
        f"{requirement.specifier}"
        for requirement in parsed
        if requirement.name not in without
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(needed(sys.argv[1], set(sys.argv[2:]))) + "\n")
