import asyncio
import socket
from collections.abc import Sequence

import pytest

from turnout.epp.datalayer.discovery.resolve import Resolver, look_up
from turnout.framework import EndpointSpec


class Names:
    """A name service that is told what to answer."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("unknown host")
        return self.answers[host]


def spec(name: str, address: str) -> EndpointSpec:
    return EndpointSpec(name, address, 8000, {"x": "y"})


async def resolved(resolver: Resolver, *specs: EndpointSpec) -> dict[str, str]:
    return {one.name: one.address for one in await resolver.resolve(specs)}


async def test_ip_addresses_are_not_looked_up() -> None:
    names = Names()
    specs = [spec("a", "10.0.0.1"), spec("b", "::1")]
    assert await Resolver(names).resolve(specs) == specs
    assert names.asked == []


async def test_a_name_becomes_its_first_address_and_is_looked_up_once() -> None:
    names = Names(host=["10.0.0.1", "10.0.0.2"])
    specs = [spec("a", "host"), spec("b", "host")]
    assert await Resolver(names).resolve(specs) == [spec("a", "10.0.0.1"), spec("b", "10.0.0.1")]
    assert names.asked == ["host"]


async def test_an_address_is_kept_while_the_name_still_has_it() -> None:
    names = Names(host=["10.0.0.1", "10.0.0.2"])
    resolver = Resolver(names)
    await resolved(resolver, spec("a", "host"))
    names.answers["host"] = ["10.0.0.2", "10.0.0.1"]
    assert await resolved(resolver, spec("a", "host")) == {"a": "10.0.0.1"}
    names.answers["host"] = ["10.0.0.3"]
    assert await resolved(resolver, spec("a", "host")) == {"a": "10.0.0.3"}


@pytest.mark.parametrize("answers", [{}, {"host": []}], ids=["failure", "no address"])
async def test_what_cannot_be_looked_up_keeps_its_last_address(answers: dict[str, Sequence[str]]) -> None:
    names = Names(host=["10.0.0.1"])
    resolver = Resolver(names)
    await resolved(resolver, spec("a", "host"))
    names.answers = answers
    assert await resolved(resolver, spec("a", "host"), spec("b", "10.0.0.9")) == {"a": "10.0.0.1", "b": "10.0.0.9"}


async def test_a_name_that_was_never_known_leaves_its_endpoint_out_and_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    resolver = Resolver(Names())
    assert await resolved(resolver, spec("a", "host"), spec("b", "10.0.0.9")) == {"b": "10.0.0.9"}
    assert resolver.failures == 1
    assert caplog.messages == ["cannot resolve host host, leaving its endpoints out: unknown host"]


async def test_a_name_that_left_the_pool_is_forgotten() -> None:
    names = Names(host=["10.0.0.1"])
    resolver = Resolver(names)
    await resolved(resolver, spec("a", "host"))
    names.answers = {}
    await resolved(resolver)
    assert await resolved(resolver, spec("a", "host")) == {}


async def test_the_operating_system_is_asked_and_ipv4_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [(socket.AF_INET6, 1, 6, "", ("fd00::1", 0)), (socket.AF_INET, 1, 6, "", ("10.0.0.1", 0))]

    assert "127.0.0.1" in await look_up("localhost")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answer)
    assert await look_up("both") == ["10.0.0.1", "fd00::1"]
