from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from epp.topology.doubles import build, turnout
from epp.topology.machines import MACHINES, THIS_MACHINE


@pytest.fixture(scope="session")
def library_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path | None]:
    """The folder with the library of a machine of ``MACHINES``; None is the driver of this machine."""

    @cache
    def folder(name: str) -> Path | None:
        return None if name == THIS_MACHINE else build(MACHINES[name], tmp_path_factory.mktemp("nvml"))

    return folder


@pytest.fixture(scope="session")
def printed_by(library_of: Callable[[str], Path | None]) -> Callable[..., str]:
    """What ``turnout topology`` prints on a machine, with options. It must end well; equal calls run once."""

    @cache
    def printed(name: str, *options: str) -> str:
        done = turnout(library_of(name), "topology", "--node-name", "worker-7", *options)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return printed


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``any_machine``: each double, and with ``--nvidia-driver`` the machine on which the tests run."""
    if "any_machine" in metafunc.fixturenames:
        real = [THIS_MACHINE] if metafunc.config.getoption("--nvidia-driver") else []
        metafunc.parametrize("any_machine", [*MACHINES, *real])
