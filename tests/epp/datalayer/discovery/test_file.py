import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from turnout.epp.datalayer.discovery.file import FileDiscovery
from turnout.framework import EndpointSpec

Published = asyncio.Queue[Sequence[EndpointSpec]]


def listing(*names: str) -> str:
    return "endpoints:\n" + "".join(f"- {{name: {name}, address: 10.0.0.1, port: '8000'}}\n" for name in names)


@contextlib.asynccontextmanager
async def discovering(discovery: FileDiscovery) -> AsyncIterator[Published]:
    published: Published = asyncio.Queue()
    task = asyncio.create_task(discovery.discover(published.put))
    try:
        yield published
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def names(published: Published) -> list[str]:
    return [spec.name for spec in await published.get()]


class Rejections(logging.Handler):
    """Errors that are logged, to be awaited."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.put_nowait(record.getMessage())


@pytest.fixture
async def rejections() -> AsyncIterator[asyncio.Queue[str]]:
    handler = Rejections()
    logger = logging.getLogger("turnout.epp.datalayer.discovery.file")
    logger.addHandler(handler)
    yield handler.messages
    logger.removeHandler(handler)


def replace(path: Path, text: str | bytes) -> None:
    draft = path.with_name("draft")
    draft.write_bytes(text.encode() if isinstance(text, str) else text)
    draft.replace(path)


async def test_publishes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yaml"
    path.write_text(listing("a", "b"))
    async with discovering(FileDiscovery(str(path))) as published:
        assert await names(published) == ["default/a", "default/b"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(None, "No such file", id="absent"),
        pytest.param("garbage", "expected a mapping", id="garbage"),
        pytest.param(listing("a", "a"), r"endpoints\[1\].name: default/a is also endpoints\[0\]", id="name twice"),
        pytest.param("#" * 2_000_000, "more than 1048576 bytes", id="too large"),
    ],
)
async def test_a_bad_file_at_the_start_is_an_error(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "endpoints.yaml"
    if text is not None:
        path.write_text(text)
    published: Published = asyncio.Queue()
    with pytest.raises(ValueError, match=problem):
        await FileDiscovery(str(path), watch_file=True).discover(published.put)
    assert published.empty()


async def test_takes_each_new_version_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.yaml"
    path.write_text(listing("a"))
    async with discovering(FileDiscovery(str(path), watch_file=True)) as published:
        assert await names(published) == ["default/a"]
        replace(path, listing("b"))
        assert await names(published) == ["default/b"]
        path.write_text(listing("c"))
        assert await names(published) == ["default/c"]


async def test_garbage_changes_nothing_and_is_reported_once(tmp_path: Path, rejections: asyncio.Queue[str]) -> None:
    path = tmp_path / "endpoints.yaml"
    path.write_text(listing("a"))
    discovery = FileDiscovery(str(path), watch_file=True)
    async with discovering(discovery) as published:
        await names(published)
        for count, garbage in enumerate((b"\x00\xff garbage", listing("b", "b").encode(), b"[" * 50_000), start=1):
            replace(path, garbage)
            assert "kept the last good version" in await rejections.get()
            assert discovery.rejected_versions == count
        assert published.empty()
        replace(path, listing("c"))
        assert await names(published) == ["default/c"]
    assert rejections.empty()


async def test_a_file_that_vanishes_changes_nothing(tmp_path: Path, rejections: asyncio.Queue[str]) -> None:
    path = tmp_path / "endpoints.yaml"
    path.write_text(listing("a"))
    async with discovering(FileDiscovery(str(path), watch_file=True)) as published:
        await names(published)
        path.unlink()
        assert "No such file" in await rejections.get()
        assert published.empty()
        path.write_text(listing("b"))
        assert await names(published) == ["default/b"]


async def test_follows_a_mounted_config_map(tmp_path: Path) -> None:
    for version in ("a", "b"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "endpoints.yaml").write_text(listing(version))
    (tmp_path / "..data").symlink_to("..a")
    path = tmp_path / "endpoints.yaml"
    path.symlink_to("..data/endpoints.yaml")
    async with discovering(FileDiscovery(str(path), watch_file=True)) as published:
        assert await names(published) == ["default/a"]
        (tmp_path / "..draft").symlink_to("..b")
        (tmp_path / "..draft").replace(tmp_path / "..data")
        assert await names(published) == ["default/b"]


def test_refuses_an_empty_path() -> None:
    with pytest.raises(ValueError, match="path: must not be empty"):
        FileDiscovery("")
