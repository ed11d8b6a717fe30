from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from turnout.epp.admin.autoscaling_pages import AdviceByPlugin, add_autoscaling_pages
from turnout.framework import ScalingAdvice

ADVICE = ScalingAdvice("llama", "tokens", 3, 2, 2.5, 1, 10, "load", {"queued_tokens": 5.0, "rate": float("nan")})
UNKNOWN = ScalingAdvice("", "lag", 1, 1, None, 1, 10, "unknown")
ENDLESS = ScalingAdvice("", "lag", 10, 1, float("inf"), 1, 10, "maximum")


async def shown(latest: AdviceByPlugin) -> object:
    app = web.Application(client_max_size=1)
    add_autoscaling_pages(app, lambda: latest)
    async with TestClient(TestServer(app)) as asking:
        return await (await asking.get("/autoscaling")).json()


async def test_the_page_shows_what_was_advised_last() -> None:
    assert await shown({"advisor": [ADVICE]}) == {
        "advice": [
            {
                "plugin": "advisor",
                "group": "llama",
                "basis": "tokens",
                "desired": 3,
                "current": 2,
                "needed": 2.5,
                "min": 1,
                "max": 10,
                "reason": "load",
                "figures": {"queued_tokens": 5.0, "rate": None},
            }
        ]
    }


async def test_numbers_that_json_does_not_have_are_null() -> None:
    page = await shown({"advisor": [UNKNOWN, ENDLESS]})
    assert isinstance(page, dict)
    assert [one["needed"] for one in page["advice"]] == [None, None]


async def test_without_an_advisor_there_is_no_advice() -> None:
    assert await shown({}) == {"advice": []}
