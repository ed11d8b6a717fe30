import asyncio
import gzip
import os
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from plugins.http_servers import Answer, saying, serving
from turnout.plugins.feeds.places import FilePlace, UnreadableDocumentError, UrlPlace, place_of
from turnout.plugins.feeds.source import FeedSource

LATER = 2e9


def file_of(path: Path, text: bytes = b"1", written: float = 1e9) -> FilePlace:
    path.write_bytes(text)
    os.utime(path, (written, written))
    return FilePlace(FeedSource(file=str(path), max_bytes=8))


async def asked(answer: Answer, timeout: float = 30.0) -> tuple[bytes, float | None]:
    async with serving(answer) as server:
        place = UrlPlace(FeedSource(url=f"{server.url}/values", timeout=timedelta(seconds=timeout), max_bytes=1000))
        document = await place.look(LATER)
        assert document is not None
        return document.content, document.dated


def test_a_file_is_read_again_only_when_it_is_another(tmp_path: Path) -> None:
    place = file_of(tmp_path / "f")
    found = place.look_now(LATER)
    assert found is not None
    assert (found.content, found.dated) == (b"1", 1e9)
    assert place.look_now(LATER) is None
    draft = tmp_path / "draft"
    file_of(draft, b"2")
    draft.replace(tmp_path / "f")
    again = place.look_now(LATER)
    assert again is not None
    assert again.content == b"2"
    place.forget()
    assert place.look_now(LATER) == again


def test_a_file_that_was_written_a_moment_ago_may_be_written_again_in_the_same_moment(tmp_path: Path) -> None:
    place = file_of(tmp_path / "f")
    assert place.look_now(1e9 + 1.0) is not None
    assert place.look_now(1e9 + 3.0) is not None
    assert place.look_now(1e9 + 3.0) is None


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(lambda path: None, "cannot be read: No such file or directory", id="missing"),
        pytest.param(lambda path: path.mkdir(), "cannot be read: Is a directory", id="a folder"),
        pytest.param(os.mkfifo, "is no file", id="a pipe that nobody writes to"),
        pytest.param(lambda path: path.write_bytes(b"123456789"), "is larger than 8 bytes", id="too large"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "is no file", id="a device without an end"),
    ],
)
def test_what_is_no_file_of_the_allowed_size_is_not_taken(tmp_path: Path, make: object, problem: str) -> None:
    assert callable(make)
    make(tmp_path / "f")
    with pytest.raises(UnreadableDocumentError, match=problem):
        FilePlace(FeedSource(file=str(tmp_path / "f"), max_bytes=8)).look_now(LATER)


async def test_a_server_gives_the_document_and_its_date() -> None:
    assert await asked(saying(b'{"a": 1}')) == (b'{"a": 1}', None)


@pytest.mark.parametrize(
    ("stated", "dated"),
    [
        pytest.param("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000.0, id="a date"),
        pytest.param("yesterday", None, id="no date"),
        pytest.param("Tue, 14 Nov 99999 22:13:20 GMT", None, id="an impossible date"),
    ],
)
async def test_the_date_is_that_of_the_answer(stated: str, dated: float | None) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"1", headers={"Last-Modified": stated})

    assert await asked(answer) == (b"1", dated)


async def redirecting(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def hanging(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def dripping(request: web.Request) -> web.StreamResponse:
    """A head at once, and then never an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"1")
    await asyncio.Event().wait()
    return response


async def pouring(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"1" * 1000)


@pytest.mark.parametrize(
    ("answer", "timeout", "problem"),
    [
        pytest.param(saying(b"no", 500), 30.0, "answered 500", id="an error"),
        pytest.param(redirecting, 30.0, "answered 302", id="a redirection"),
        pytest.param(hanging, 0.05, "did not answer within 0.05 s", id="no answer"),
        pytest.param(dripping, 0.05, "did not answer within 0.05 s", id="half an answer"),
        pytest.param(pouring, 30.0, "is larger than 1000 bytes", id="an answer without an end"),
    ],
)
async def test_a_server_that_misbehaves_costs_a_bounded_time_and_size(
    answer: Answer, timeout: float, problem: str
) -> None:
    with pytest.raises(UnreadableDocumentError, match=problem):
        await asked(answer, timeout)


async def test_compressed_bytes_are_not_undone() -> None:
    squeezed = gzip.compress(b"1" * 1_000_000, mtime=0)[:900]

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=squeezed, headers={"Content-Encoding": "gzip"})

    assert await asked(answer) == (squeezed, None)


async def test_nobody_there_is_a_problem_without_the_secrets_of_the_address() -> None:
    place = place_of(FeedSource(url="http://me:secret@127.0.0.1:1/a?token=secret"))
    with pytest.raises(UnreadableDocumentError) as caught:
        await place.look(LATER)
    assert str(caught.value) == "did not answer: ClientConnectorError"
