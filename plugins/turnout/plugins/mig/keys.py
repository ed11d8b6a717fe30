"""What other features may ask about MIG slices."""

from turnout.plugins.mig.profiles import PROFILES

GIGABYTE = 10**9


def slice_bytes(profile_name: str) -> int | None:
    """The memory of a slice of this profile as its name states it, in bytes; None if no GPU has it."""
    profile = PROFILES.get(profile_name)
    return None if profile is None else profile.memory_gb * GIGABYTE
