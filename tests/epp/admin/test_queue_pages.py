import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from turnout.epp.admin.queue_pages import QueueSources, add_queue_pages
from turnout.epp.flowcontrol.status import PriorityStatus, QueueStatus

BAND = PriorityStatus(5, 3, 300, 100, ["high", "urgent"], 2, 1.5, deferred=2)
STATUS = QueueStatus(3, 300, 1.25, "adaptive", 4.5, [BAND], deferred=2)


def client(sources: QueueSources) -> "TestClient[web.Request, web.Application]":
    app = web.Application(client_max_size=1)
    add_queue_pages(app, sources)
    return TestClient(TestServer(app))


async def test_the_page_shows_what_waits() -> None:
    async with client(QueueSources(lambda: STATUS)) as asking:
        assert await (await asking.get("/queue")).json() == {
            "enabled": True,
            "queued": 3,
            "deferred": 2,
            "bytes": 300,
            "saturation": 1.25,
            "strategy": "adaptive",
            "expected_wait_seconds": 4.5,
            "bands": [
                {
                    "priority": 5,
                    "level": "high, urgent",
                    "queued": 3,
                    "deferred": 2,
                    "bytes": 300,
                    "oldest_seconds": 1.5,
                    "max_requests": 100,
                    "flows": 2,
                }
            ],
        }


async def test_without_flow_control_the_page_says_so() -> None:
    async with client(QueueSources(lambda: None)) as asking:
        assert await (await asking.get("/queue")).json() == {"enabled": False}


@pytest.mark.parametrize(
    ("path", "status", "found"),
    [
        pytest.param("/queue/a%2Fb?priority=-7", 200, {"request_id": "a/b", "priority": -7}, id="a change"),
        pytest.param(
            "/queue/gone?priority=1", 409, {"error": "request 'gone': no such request is queued"}, id="not queued"
        ),
        pytest.param(
            "/queue/r?priority=soon",
            400,
            {"error": "priority must be from -1000000 to 1000000, not 'soon'"},
            id="no number",
        ),
        pytest.param(
            "/queue/r?priority=1000001",
            400,
            {"error": "priority must be from -1000000 to 1000000, not '1000001'"},
            id="out of range",
        ),
        pytest.param("/queue/r", 400, {"error": "priority must be from -1000000 to 1000000, not ''"}, id="missing"),
        pytest.param(
            "/queue/r?priority=" + "9" * 100,
            400,
            {"error": f"priority must be from -1000000 to 1000000, not '{'9' * 32}'"},
            id="a long number",
        ),
    ],
)
async def test_a_change_where_changes_are_allowed(path: str, status: int, found: dict[str, object]) -> None:
    def reprioritise(request_id: str, priority: int) -> str:
        return "" if request_id == "a/b" else "no such request is queued"

    async with client(QueueSources(lambda: STATUS, reprioritise)) as asking:
        answer = await asking.put(path)
        assert (answer.status, await answer.json()) == (status, found)


async def test_changes_are_forbidden_unless_allowed() -> None:
    async with client(QueueSources(lambda: STATUS)) as asking:
        assert (await asking.put("/queue/r?priority=1")).status == 403
        assert (await asking.post("/queue/r?priority=1")).status == 405
