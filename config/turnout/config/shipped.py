"""Where the configurations that come with the distribution lie."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def shipped_profiles() -> Traversable:
    """The folder of shipped ``*.yaml`` configurations, in an installed wheel and in a checkout."""
    installed = files("turnout.config").joinpath("shipped", "profiles")
    if installed.is_dir():
        return installed
    return Path(__file__).resolve().parents[2] / "profiles"
