"""How a GPU is sliced, as a label says it: ``1g.5gb:7,2g.10gb:3``."""

from collections.abc import Mapping

from turnout.plugins.mig.profiles import MigProfile, profile_named

MAX_LABEL = 256
"""Characters: a label of seven kinds of slices is far shorter."""

MAX_INSTANCES = 7 * 16
"""Of one profile, on the sixteen GPUs of the largest machines."""


def parse_layout(label: str) -> Mapping[MigProfile, int]:
    """The profiles of a label with how many instances there are; a name without a number is one.

    Kubernetes has no colons and commas in the values of labels: there ``.x7`` stands for ``:7`` and ``_`` for a comma,
    as in ``1g.5gb.x7_2g.10gb.x3``.

    Raises:
        ValueError: the label is empty or too long, names a profile that no GPU has, or counts that no machine holds.
    """
    if not 0 < len(label) <= MAX_LABEL:
        raise ValueError(f"a MIG layout must have 1 to {MAX_LABEL} characters, got {len(label)}")
    found: dict[MigProfile, int] = {}
    for part in label.replace("_", ",").split(","):
        name, _, count = part.strip().replace(".x", ":").partition(":")
        profile = profile_named(name)
        if profile in found:
            raise ValueError(f"MIG profile {name} is there twice")
        found[profile] = _count(name, count or "1")
    return found


def _count(name: str, text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    if not 1 <= count <= MAX_INSTANCES:
        raise ValueError(f"the count of MIG profile {name} must be from 1 to {MAX_INSTANCES}, got {text[:10]!r}")
    return count
