"""Names of MIG profiles."""

import re

# The driver names a MIG device after GPU and profile: "NVIDIA A100-SXM4-40GB MIG 1g.5gb", with compute instances
# smaller than the GPU instance "... MIG 1c.3g.20gb", with media engines "... MIG 1g.10gb+me" (NVIDIA MIG User Guide,
# "MIG Device Names").
_NAMED = re.compile(r"\bMIG ((?:[1-8]c\.)?[1-8]g\.[0-9]+gb(?:[+-][a-z.]+)*)\Z")

_EIGHTHS = 8
_MIB_PER_GIB = 1024


def profile_in(name: str) -> str:
    """The profile in the name of a MIG device; empty if there is none."""
    found = _NAMED.search(name)
    return found[1] if found else ""


def profile_of(gpu_slices: int, compute_slices: int, memory_mib: int, gpu_memory_mib: int) -> str:
    """The profile of a MIG device with so many slices and so much memory, on a GPU with so much.

    Memory is given away in eighths of the GPU, and a profile is named after these eighths, not after the usable bytes:
    4,864 MiB of 40,960 are an eighth, "5gb". (Eighths: MIG User Guide, "Supported MIG Profiles"; that they are rounded
    up, and the gigabytes half up: github.com/NVIDIA/go-nvlib, mig_profile.go.) Of an A100 of 40 GB that makes
    1g.5gb, 2g.10gb, 3g.20gb, 4g.20gb and 7g.40gb. Variants with media engines cannot be told.
    """
    eighths = max(1, -(-memory_mib * _EIGHTHS // gpu_memory_mib))
    gpu_gib = -(-gpu_memory_mib // _MIB_PER_GIB)
    # Half up: an eighth of 180 GiB is 22.5 and the profile 1g.23gb.
    gib = int(gpu_gib * eighths / _EIGHTHS + 0.5)
    compute = "" if compute_slices == gpu_slices else f"{compute_slices}c."
    return f"{compute}{gpu_slices}g.{gib}gb"
