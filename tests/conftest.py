import pytest
from hypothesis import settings

# A time limit for one example would be an assertion about the clock of the machine.
settings.register_profile("turnout", deadline=None)
settings.load_profile("turnout")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nvidia-driver", action="store_true", help="run the topology tests against this machine's driver, too"
    )
