import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from turnout.epp.datalayer.dcgm import GPU_UTILIZATION, DcgmDataSource, DcgmExtractor
from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import check_signatures, make_endpoint

Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[int]]

PAGE = b"DCGM_FI_DEV_GPU_UTIL 7\n"
HOST = "kubernetes.io/hostname"


class Exporter:
    """Answers every question with the page, and keeps the first line of each."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            host = next(line for line in head.decode().split("\r\n") if line.startswith("Host: "))
            self.asked.append(f"{head.decode().partition(' HTTP')[0]} {host[6:].partition(':')[0]}")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE))
            await writer.drain()


def at(name: str, address: str = "127.0.0.1", **labels: str) -> Endpoint:
    """An endpoint whose own port is nobody's."""
    return Endpoint(
        f"default/{name}", address, 1, {HOST if label == "host" else label: labels[label] for label in labels}
    )


@asynccontextmanager
async def asking(serve: Serve, **parameters: Any) -> AsyncIterator[tuple[DcgmDataSource, Exporter]]:
    exporter = Exporter()
    source = DcgmDataSource(port=await serve(exporter), clock=lambda: 100.0, **parameters)
    yield source, exporter
    await source.close()


async def test_the_exporter_beside_each_endpoint_is_asked(serve: Serve) -> None:
    async with asking(serve) as (source, exporter):
        check_signatures(source)
        assert [await source.fetch(at(name, host="localhost")) for name in ("a", "a", "b")] == [PAGE] * 3
    assert exporter.asked == ["GET /metrics 127.0.0.1"] * 3


async def test_the_exporter_of_a_host_is_asked_once_for_all_endpoints_on_it(serve: Serve) -> None:
    async with asking(serve, use_node_address=True, path="/gpus") as (source, exporter):
        pool = [
            at("a", "192.0.2.1", host="localhost"),
            at("b", "192.0.2.2", host="localhost"),
            at("c", host="127.0.0.1"),
        ]
        assert [await source.fetch(endpoint) for endpoint in pool * 2] == [PAGE] * 6
    assert exporter.asked == ["GET /gpus localhost", "GET /gpus 127.0.0.1"]


async def test_another_label_may_name_the_host(serve: Serve) -> None:
    async with asking(serve, use_node_address=True, node_address_label="node") as (source, exporter):
        await source.fetch(at("a", "192.0.2.1", node="localhost", host="192.0.2.1"))
    assert exporter.asked == ["GET /metrics localhost"]


@pytest.mark.parametrize(
    "stated",
    [
        pytest.param("", id="empty"),
        pytest.param("localhost/secrets?", id="a path"),
        pytest.param("localhost:1", id="a port"),
        pytest.param("user@localhost", id="a user"),
        pytest.param("localhost#", id="a fragment"),
        pytest.param("fe80::1%]@localhost#", id="an address whose zone is no zone"),
        pytest.param("a" * 300, id="longer than a name may be"),
        pytest.param("127.0.0.1\r\nX: y", id="two lines"),
    ],
)
async def test_a_label_that_is_no_host_leads_nowhere_else(serve: Serve, stated: str) -> None:
    async with asking(serve, use_node_address=True) as (source, exporter):
        assert [await source.fetch(at("a", host=stated)), await source.fetch(at("b"))] == [PAGE] * 2
    assert exporter.asked == ["GET /metrics 127.0.0.1"] * 2


async def test_a_host_that_does_not_answer_is_an_error_for_all_endpoints_on_it(serve: Serve) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    source = DcgmDataSource(port=await serve(refuse), use_node_address=True)
    for name in ("a", "b"):
        with pytest.raises(OSError, match="status 404"):
            await source.fetch(at(name, host="localhost"))
    await source.close()


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"scheme": "ftp"}, "scheme: must be http or https, got 'ftp'", id="scheme"),
        pytest.param({"path": "metrics"}, "path: must begin with /", id="path"),
        pytest.param({"port": 0}, "port: must be within 1 to 65535, got 0", id="port"),
        pytest.param({"interval": timedelta(0)}, "interval: must be positive", id="interval"),
        pytest.param(
            {"use_node_address": True, "node_address_label": ""}, "node_address_label: must not be empty", id="no label"
        ),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        DcgmDataSource(**parameters)


def test_the_interval_is_in_seconds_and_one_by_default() -> None:
    assert DcgmDataSource().interval_seconds == 1.0
    assert DcgmDataSource(interval=timedelta(seconds=30)).interval_seconds == 30.0


# --- the extractor ---------------------------------------------------------------------------------------


def series(value: str, **labels: str) -> str:
    shown = ",".join(f'{name}="{labels[name]}"' for name in labels)
    return f"DCGM_FI_DEV_GPU_UTIL{{{shown}}} {value}\n"


def utilization(page: str, name: str = "a") -> float | None:
    metrics = DcgmExtractor().extract(page.encode(), make_endpoint(name), 5.0)
    return metrics.custom.get(GPU_UTILIZATION)


NONE = "9223372036854775794"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        pytest.param(
            series("73", gpu="0") + series("81", gpu="1") + series("65", gpu="2"), 0.81, id="no pods: the most"
        ),
        pytest.param(series("73", gpu="0", pod=""), 0.73, id="an empty pod is none"),
        pytest.param(
            series("20", pod="a", namespace="default") + series("35", pod="a", namespace="default"), 0.35, id="its own"
        ),
        pytest.param(
            series("20", pod="a", namespace="default")
            + series("90", pod="b", namespace="default")
            + series("95", pod="a", namespace="other")
            + series("99", gpu="3"),
            0.2,
            id="not those of others, nor of nobody",
        ),
        pytest.param(
            series("20", pod="a") + series("90", pod="b"), 0.2, id="by the pod alone where no namespace is said"
        ),
        pytest.param(series("90", pod="b", namespace="default"), None, id="only those of others"),
        pytest.param(series("0"), 0.0, id="idle"),
        pytest.param(series("100"), 1.0, id="all the time"),
        pytest.param(series(NONE), None, id="the exporter's word for nothing"),
        pytest.param(series("-1") + series("NaN") + series("+Inf") + series("101"), None, id="no percentages"),
        pytest.param(series(NONE) + series("12"), 0.12, id="one of two"),
        pytest.param(
            series("0", GPU_I_ID="1", pod="a", namespace="default"), None, id="a slice, which it does not say"
        ),
        pytest.param(
            series("0", GPU_I_ID="1", pod="a", namespace="default") + series("50", gpu="0"),
            None,
            id="a slice beside a whole GPU of nobody",
        ),
        pytest.param("DCGM_FI_DEV_FB_USED 3\n", None, id="a page without it"),
        pytest.param("", None, id="an empty page"),
    ],
)
def test_the_utilization_of_an_endpoint_is(page: str, found: float | None) -> None:
    assert utilization(page) == found


def test_it_is_kept_beside_what_others_found_with_its_own_age() -> None:
    known = EndpointMetrics(
        running_requests=3,
        custom={"temperature": 40.0},
        observed_at={"running_requests": 1.0, "custom.temperature": 2.0},
    )
    endpoint = make_endpoint(metrics=known)
    found = DcgmExtractor().extract(series("50").encode(), endpoint, 5.0)
    assert found.custom == {"temperature": 40.0, "GPUUtilization/dcgm-extractor": 0.5}
    assert found.running_requests == 3
    assert [
        found.age(name, 6.0) for name in ("running_requests", "custom.temperature", f"custom.{GPU_UTILIZATION}")
    ] == [
        5.0,
        4.0,
        1.0,
    ]
    later = DcgmExtractor().extract(b"other 1\n", make_endpoint(metrics=found), 9.0)
    assert later is found


@pytest.mark.parametrize("page", [b"<html>", b"DCGM_FI_DEV_GPU_UTIL{gpu=} 1\n"])
def test_a_page_that_is_none_is_refused(page: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an exposition|malformed"):
        DcgmExtractor().extract(page, make_endpoint(), 0.0)
