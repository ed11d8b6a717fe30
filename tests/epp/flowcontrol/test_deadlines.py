import pytest

from epp.flowcontrol.fakes import request
from turnout.epp.flowcontrol.deadlines import deadline_of
from turnout.framework import Headers, Refusal, RefusalKind


@pytest.mark.parametrize(
    ("stated", "deadline"),
    [
        pytest.param(None, float("inf"), id="nothing said"),
        pytest.param("1500", 101.5, id="milliseconds from the arrival"),
        pytest.param("0", 100.0, id="none left"),
        pytest.param("-1e300", 100.0, id="long past"),
        pytest.param("inf", float("inf"), id="endless"),
    ],
)
def test_a_deadline_counts_from_the_arrival(stated: str | None, deadline: float) -> None:
    headers = Headers([] if stated is None else [("x-turnout-queue-timeout-ms", stated)])
    assert deadline_of(request(headers=headers, received_at=100.0)) == deadline


@pytest.mark.parametrize("stated", ["", "soon", "nan", "1" * 100_000, "\udcff"])
def test_what_is_no_number_is_the_clients_error(stated: str) -> None:
    found = deadline_of(request(headers=Headers([("x-turnout-queue-timeout-ms", stated)])))
    assert isinstance(found, Refusal)
    assert found.kind is RefusalKind.BAD_REQUEST
    assert len(found.message) < 150
