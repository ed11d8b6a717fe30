"""The MIG profiles of the GPUs that have them.

A profile's name is its compute slices and its memory: ``3g.40gb``. Source: NVIDIA Multi-Instance GPU User Guide,
"Supported MIG Profiles" (docs.nvidia.com/datacenter/tesla/mig-user-guide). The slices and how many instances fit into a
GPU are the same for all of them: of seven compute and eight memory slices, 1g takes 1 and 1, or 1 and 2 with twice the
memory, 2g takes 2 and 2, 3g 3 and 4, 4g 4 and 4, and 7g all. Names say the memory in whole gigabytes, which differ by
product.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MEDIA_EXTENSIONS = "+me"


@dataclass(frozen=True, slots=True)
class MigProfile:
    """A kind of instance: of 7 compute slices and 8 memory slices, and how many of them one GPU holds at most."""

    name: str
    compute_slices: int
    memory_slices: int
    memory_gb: int
    instances: int


_SHAPES = ((1, 1, 7), (1, 2, 4), (2, 2, 3), (3, 4, 2), (4, 4, 1), (7, 8, 1))
"""Compute slices, memory slices and instances of 1g, 1g with twice the memory, 2g, 3g, 4g and 7g."""

_GIGABYTES: Mapping[str, tuple[int, ...]] = {
    "A100-40GB": (5, 10, 10, 20, 20, 40),
    "A100-80GB": (10, 20, 20, 40, 40, 80),
    "H100-80GB": (10, 20, 20, 40, 40, 80),
    "H100-94GB": (12, 24, 24, 47, 47, 94),
    "H100-96GB": (12, 24, 24, 48, 48, 96),
    "H200-141GB": (18, 35, 35, 71, 71, 141),
    "B200-180GB": (23, 45, 45, 90, 90, 180),
}


def _of(sizes: tuple[int, ...]) -> tuple[MigProfile, ...]:
    whole = [
        MigProfile(f"{compute}g.{size}gb", compute, memory, size, instances)
        for (compute, memory, instances), size in zip(_SHAPES, sizes, strict=True)
    ]
    smallest = whole[0]
    # One 1g instance of a GPU may have the media engines.
    media = MigProfile(smallest.name + MEDIA_EXTENSIONS, 1, 1, smallest.memory_gb, 1)
    return (media, *whole)


GPUS: Mapping[str, tuple[MigProfile, ...]] = {gpu: _of(sizes) for gpu, sizes in _GIGABYTES.items()}
"""The profiles of each GPU, the smallest first."""

PROFILES: Mapping[str, MigProfile] = {profile.name: profile for profiles in GPUS.values() for profile in profiles}
"""Every profile by its name. A name that several GPUs have means nearly the same on each of them."""


def profile_named(name: str) -> MigProfile:
    """The profile of this name.

    Raises:
        ValueError: no GPU has it.
    """
    found = PROFILES.get(name)
    if found is None:
        raise ValueError(f"unknown MIG profile {name[:40]!r}; known: {', '.join(sorted(PROFILES))}")
    return found
