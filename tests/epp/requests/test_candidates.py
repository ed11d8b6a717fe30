import pytest

from turnout.epp.requests.candidates import in_subset
from turnout.framework import Endpoint

POOL = [
    Endpoint("default/a", "10.0.0.1", 8000),
    Endpoint("default/a-1", "10.0.0.1", 8001),
    Endpoint("default/b", "10.0.0.2", 8000),
    Endpoint("default/v6", "fd00::1", 8000),
]


@pytest.mark.parametrize(
    ("subset", "names"),
    [
        pytest.param(None, ["default/a", "default/a-1", "default/b", "default/v6"], id="no hint"),
        pytest.param([], [], id="an empty hint"),
        pytest.param(["10.0.0.1:8000"], ["default/a", "default/a-1"], id="every rank of the host"),
        pytest.param(["10.0.0.2:1", "10.9.9.9:8000"], ["default/b"], id="the port is ignored"),
        pytest.param(["[fd00::1]:8000"], ["default/v6"], id="IPv6 in brackets"),
        pytest.param(["fd00::1"], ["default/v6"], id="bare IPv6"),
        pytest.param(["10.0.0.2"], ["default/b"], id="bare IPv4"),
        pytest.param(["nonsense", ""], [], id="nothing matches"),
    ],
)
def test_the_hint_selects_by_address(subset: list[str] | None, names: list[str]) -> None:
    assert [endpoint.name for endpoint in in_subset(POOL, subset)] == names
