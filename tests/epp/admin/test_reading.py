import msgspec
import pytest
from aiohttp import web

from epp.doctor.pickers import answering, healthy, served
from turnout.epp.admin.reading import PageReader, PickerNotAskedError, page_reader


class Page(msgspec.Struct, frozen=True):
    endpoints: list[object]


async def read(reader: PageReader) -> Page:
    return await reader.page("endpoints", Page)


async def test_a_page_is_read_as_its_type() -> None:
    with served(healthy().app()) as url:
        async with page_reader(f"{url}/") as reader:
            assert len((await read(reader)).endpoints) == 2


async def test_a_page_that_an_older_picker_lacks_is_none_if_it_may_be_missing() -> None:
    with served(answering(404)) as url:
        async with page_reader(url) as reader:
            assert await reader.optional_page("queue", Page) is None
    with served(answering(body=b'{"endpoints": [1]}')) as url:
        async with page_reader(url) as reader:
            assert await reader.optional_page("queue", Page) == Page([1])


@pytest.mark.parametrize(
    ("app", "says"),
    [
        pytest.param(answering(200, b"ok\n"), "", id="fine"),
        pytest.param(answering(503, b"draining\n"), "draining", id="a reason"),
        pytest.param(answering(503, b"\xff\n"), "\N{REPLACEMENT CHARACTER}", id="no text"),
        pytest.param(answering(503, b""), "no reason given", id="no reason"),
    ],
)
async def test_a_status_page_says_what_is_wrong(app: web.Application, says: str) -> None:
    with served(app) as url:
        async with page_reader(url) as reader:
            assert await reader.status_page("readyz") == says


async def test_a_status_page_with_another_status_is_no_picker_s() -> None:
    with served(answering(500)) as url, pytest.raises(PickerNotAskedError, match="readyz answered 500"):
        async with page_reader(url) as reader:
            await reader.status_page("readyz")


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        pytest.param(answering(404), "answered 404; is this the metrics port of a picker?", id="not found"),
        pytest.param(answering(302), "answered 302", id="sent elsewhere"),
        pytest.param(answering(body=b"<html>"), "is not a page of this picker's version", id="no JSON"),
        pytest.param(answering(body=b"{}"), "is not a page of this picker's version", id="another document"),
        pytest.param(answering(body=b'{"endpoints": 7}'), "is not a page of this picker's version", id="another type"),
        pytest.param(answering(body=b"[" * 100_000), "is not a page of this picker's version", id="nested deeply"),
        pytest.param(answering(body=b"\xff\xfe"), "is not a page of this picker's version", id="no text"),
        pytest.param(answering(body=b" " * 100_001), "is longer than 100000 bytes", id="too long"),
        pytest.param(answering(hangs=True), "did not answer within 0.5 s", id="silent"),
    ],
)
async def test_what_is_no_picker_is_an_error(app: web.Application, problem: str) -> None:
    timeout = 0.5 if "within" in problem else 10.0
    with served(app) as url, pytest.raises(PickerNotAskedError, match=problem):
        async with page_reader(url, max_bytes=100_000, timeout_seconds=timeout) as reader:
            await read(reader)


async def test_nobody_on_the_port_is_an_error() -> None:
    with served(answering()) as url:
        pass
    with pytest.raises(PickerNotAskedError, match=f"{url}/endpoints cannot be read: Cannot connect"):
        async with page_reader(url) as reader:
            await read(reader)


@pytest.mark.parametrize("url", ["", "localhost:9090", "ftp://x", "http://", "http://[::1", "http://x:99999"])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises((ValueError, PickerNotAskedError)):
        async with page_reader(url) as reader:
            await read(reader)
