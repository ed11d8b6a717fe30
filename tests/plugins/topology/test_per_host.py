import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web

from plugins.http_servers import saying, serving
from turnout.framework import Endpoint, WallClock
from turnout.framework.testing import make_endpoint
from turnout.plugins.topology import per_host
from turnout.plugins.topology.per_host import HostFeeds, HostPages

AGE = timedelta(minutes=1)
SOON = timedelta(milliseconds=100)


def number(content: bytes, before: int | None) -> int:
    return int(content) + (before or 0)


class Looked:
    """Hears of what was looked at, and can be waited for."""

    def __init__(self) -> None:
        self.names: list[Sequence[str]] = []
        self._event = asyncio.Event()

    def __call__(self, names: Sequence[str]) -> None:
        self.names.append(names)
        self._event.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._event.clear()
            await asyncio.wait_for(self._event.wait(), 10)


@asynccontextmanager
async def following(url: str, hosts: Iterable[tuple[Endpoint, str]], looked: Looked) -> AsyncIterator[HostFeeds[int]]:
    feeds = HostFeeds(HostPages(url, SOON), number, WallClock(1e9), AGE, looked)
    feeds.follow(hosts)
    running = asyncio.create_task(feeds.run())
    try:
        yield feeds
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_every_host_is_asked_once_for_all_of_its_endpoints() -> None:
    looked = Looked()
    hosts = [(make_endpoint(name), host) for name, host in (("a", "localhost"), ("b", "localhost"), ("c", "../x"))]
    async with serving(saying(b"1")) as server, following(f"http://{{host}}:{server.port}/t", hosts, looked) as feeds:
        await looked.until(lambda: feeds.value("default/a") is not None)
        assert feeds.value("default/b") == feeds.value("default/a")
        assert feeds.value("default/c") is None
        assert looked.names[0] == ("default/a", "default/b")
        assert feeds.counts(asyncio.get_running_loop().time()) == {"fresh": 1, "stale": 0, "missing": 0}
        assert {path for path, _ in server.asked} == {"/t"}


async def test_a_reading_is_made_with_the_one_before() -> None:
    looked = Looked()
    hosts = [(make_endpoint("a"), "localhost")]
    async with serving(saying(b"1")) as server, following(f"http://{{host}}:{server.port}/", hosts, looked) as feeds:
        await looked.until(lambda: (feeds.value("default/a") or 0) >= 3)


async def test_hosts_that_come_and_go_are_followed() -> None:
    looked = Looked()
    one, other = Endpoint("a", "127.0.0.1", 1), Endpoint("b", "127.0.0.2", 1)
    async with (
        serving(saying(b"1")) as server,
        following(f"http://{{address}}:{server.port}/", [(one, "")], looked) as feeds,
    ):
        await looked.until(lambda: feeds.value(one.name) is not None)
        feeds.follow([(other, "")])
        assert (feeds.value(one.name), feeds.value(other.name)) == (None, None)
        feeds.follow([(one, "")])
        before = len(looked.names)
        await looked.until(lambda: feeds.value(one.name) is not None and len(looked.names) > before)


async def test_a_host_that_does_not_answer_holds_nobody_up() -> None:
    looked = Looked()
    hangs = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.host.startswith("localhost"):
            await hangs.wait()
        return web.Response(body=b"1")

    hosts = [(make_endpoint("a"), "localhost"), (make_endpoint("b"), "127.0.0.1")]
    async with serving(answer) as server, following(f"http://{{host}}:{server.port}/", hosts, looked) as feeds:
        await looked.until(lambda: (feeds.value("default/b") or 0) >= 2)
        assert feeds.value("default/a") is None
        assert feeds.counts(asyncio.get_running_loop().time())["missing"] == 1


async def test_so_many_hosts_are_asked_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_host, "MAX_AT_ONCE", 2)
    looked, together = Looked(), [0]
    two = asyncio.Barrier(2)

    async def answer(_: web.Request) -> web.StreamResponse:
        together.append(together[-1] + 1)
        # Both of a pair are here before either goes.
        async with asyncio.timeout(10):
            await two.wait()
        together.append(together[-1] - 1)
        return web.Response(body=b"1")

    hosts = [(Endpoint(f"e{last}", f"127.0.0.{last}", 1), "") for last in range(1, 7)]
    async with (
        serving(answer, "0.0.0.0") as server,
        following(f"http://{{address}}:{server.port}/", hosts, looked) as feeds,
    ):
        await looked.until(lambda: all(feeds.value(endpoint.name) for endpoint, _ in hosts))
    assert max(together) == 2


async def test_what_is_wrong_is_told_of_one_endpoint_of_the_host() -> None:
    looked = Looked()
    hosts = [(make_endpoint(name), "localhost") for name in "ab"]
    async with serving(saying(b"x")) as server, following(f"http://{{host}}:{server.port}/", hosts, looked) as feeds:
        await looked.until(lambda: bool(looked.names))
        (finding,) = feeds.findings(asyncio.get_running_loop().time())
    assert (finding.cause, finding.endpoint) == ("feed-empty", "default/a")
    assert "has no good content" in finding.message


async def test_the_number_of_hosts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_host, "MAX_HOSTS", 2)
    feeds = HostFeeds(HostPages("http://{host}/"), number, WallClock(), AGE, Looked())
    feeds.follow((make_endpoint(str(host)), f"h{host}") for host in range(5))
    assert feeds.counts(0.0) == {"fresh": 0, "stale": 0, "missing": 2}
    assert [finding.cause for finding in feeds.findings(0.0)] == ["too-many-hosts"]


@pytest.mark.parametrize(
    ("pages", "host", "expected"),
    [
        pytest.param(HostPages("http://{host}:9420/t"), "n1.example", "http://n1.example:9420/t", id="a host"),
        pytest.param(HostPages("http://{address}:9420/t"), "n1", "http://[fd00::1]:9420/t", id="an IPv6 address"),
        pytest.param(HostPages("http://{host}:9420/t"), "", None, id="no host"),
        pytest.param(HostPages("http://{host}:9420/t"), "n1/secret?", None, id="a host that is another path"),
        pytest.param(HostPages("http://{host}:9420/t"), "me@n1", None, id="a host with a user"),
        pytest.param(HostPages("http://{host}:9420/t"), "n1:80", None, id="a host with a port"),
        pytest.param(HostPages("http://{host}:9420/t"), "n" * 300, None, id="a host that is too long"),
    ],
)
def test_a_label_leads_to_its_host_and_nowhere_else(pages: HostPages, host: str, expected: str | None) -> None:
    source = pages.source(Endpoint("a", "fd00::1", 1), host)
    assert (None if source is None else source.url) == expected


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("http://n1:9420/", "url must have either {host} or {address} in it, got", id="one for all"),
        pytest.param("http://{host}/{address}", "url must have either {host} or {address} in it, got", id="both"),
        pytest.param("ftp://{host}/", "url must be an address that begins with http:// or https://", id="no http"),
    ],
)
def test_pages_that_cannot_be_are_refused(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        HostPages(url)
