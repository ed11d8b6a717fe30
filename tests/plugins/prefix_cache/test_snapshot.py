import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.prefix_cache.snapshot import SnapshotError, SnapshotKeeper, read_snapshot, write_snapshot

CONTENT = {"default/a": b"one", "default/b": b""}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "index.snapshot"


def test_what_was_written_is_read_and_nothing_else_is_left(file: Path) -> None:
    write_snapshot(file, "kind", {"old": b"x"}, 1000.0)
    write_snapshot(file, "kind", CONTENT, 1000.0)
    assert read_snapshot(file, "kind", 1060.0) == CONTENT
    assert [entry.name for entry in file.parent.iterdir()] == ["index.snapshot"]


def document(*fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        pytest.param(b"", "damaged or no snapshot", id="empty"),
        pytest.param(b"apiVersion: v1\n", "damaged or no snapshot", id="text"),
        pytest.param(document("turnout-snapshot", 1, "kind", 1000.0, CONTENT)[:-3], "damaged", id="cut off"),
        pytest.param(document("turnout-snapshot", 1, "kind", 1000.0), "damaged", id="a field too few"),
        pytest.param(document("turnout-snapshot", 1, "kind", 1000.0, {}, 1), "damaged", id="a field too many"),
        pytest.param(
            document("turnout-snapshot", 1, "kind", 1000.0, {"a": 7}), "damaged", id="a content of another type"
        ),
        pytest.param(document("else", 1, "kind", 1000.0, {}), "not in format turnout-snapshot 1", id="another mark"),
        pytest.param(document("turnout-snapshot", 2, "kind", 1000.0, {}), "not in format", id="another version"),
        pytest.param(document("turnout-snapshot", 1, "kind 2", 1000.0, {}), "it holds 'kind 2', not 'kind'", id="kind"),
        pytest.param(document("turnout-snapshot", 1, "kind", -2601.0, {}), "within the last hour", id="too old"),
        pytest.param(document("turnout-snapshot", 1, "kind", 9999.0, {}), "within the last hour", id="of the future"),
        pytest.param(document("turnout-snapshot", 1, "kind", float("nan"), {}), "last hour", id="of no time"),
        pytest.param(b"\x91" * 300_000, "damaged", id="nested deeply"),
        pytest.param(b"x" * 1_000_001, "longer than 1000000 bytes", id="too long"),
    ],
)
def test_a_file_that_is_no_snapshot_of_ours_is_an_error(file: Path, written: bytes, problem: str) -> None:
    file.write_bytes(written)
    with pytest.raises(SnapshotError, match=problem):
        read_snapshot(file, "kind", 1000.0, max_bytes=1_000_000)


@given(written=st.binary(max_size=200))
def test_any_bytes_are_an_error_and_never_more(tmp_path_factory: pytest.TempPathFactory, written: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(written)
    with pytest.raises(SnapshotError):
        read_snapshot(file, "kind", 1000.0)


def test_a_failed_write_leaves_the_file_before_it(file: Path) -> None:
    write_snapshot(file, "kind", CONTENT, 1000.0)
    file.with_name(f"{file.name}.dir").mkdir()
    with pytest.raises(OSError, match=r"."):
        write_snapshot(file.parent / "absent" / "file", "kind", {}, 1000.0)
    with pytest.raises(OSError, match=r"."):
        write_snapshot(file.with_name(f"{file.name}.dir"), "kind", {}, 1000.0)
    assert read_snapshot(file, "kind", 1000.0) == CONTENT
    assert {entry.name for entry in file.parent.iterdir()} == {"index.snapshot", "index.snapshot.dir"}


class Owner:
    """Takes and gives contents as they are; ``bad`` makes no sense to it."""

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self.content = dict(content)
        self.copied = asyncio.Event()

    async def restore(self, name: str, content: bytes) -> None:
        if content == b"bad":
            raise SnapshotError("nonsense")
        self.content[name] = content

    async def copy(self) -> Mapping[str, bytes]:
        self.copied.set()
        return self.content


def keeper(file: Path, owner: Owner, interval: float = 3600.0) -> SnapshotKeeper:
    return SnapshotKeeper(file, "kind", interval, owner.restore, owner.copy, clock=lambda: 1000.0)


async def test_what_one_process_saves_the_next_one_loads(file: Path) -> None:
    await keeper(file, Owner(CONTENT)).save()
    owner = Owner({})
    await keeper(file, owner).load()
    assert owner.content == CONTENT


async def test_while_it_runs_it_reads_once_and_writes_again_and_again(file: Path) -> None:
    write_snapshot(file, "kind", CONTENT, 1000.0)
    owner = Owner({})
    kept = keeper(file, owner, interval=0.01)
    for _ in range(2):
        running = asyncio.create_task(kept.run())
        await owner.copied.wait()
        running.cancel()
        await asyncio.wait({running})
        assert owner.content == CONTENT
        owner.content, owner.copied = dict(CONTENT), asyncio.Event()
        write_snapshot(file, "kind", {"default/c": b"not read again"}, 1000.0)


async def test_a_file_that_is_not_there_is_no_problem(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner({})
    await keeper(file, owner).load()
    assert owner.content == {}
    assert caplog.records == []


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        pytest.param(b"nonsense", "is ignored: it is damaged", id="no snapshot"),
        pytest.param(document("turnout-snapshot", 1, "kind", 1000.0, {"a": b"bad"}), "ignored: nonsense", id="content"),
    ],
)
async def test_a_bad_file_is_reported_and_ignored(
    file: Path, written: bytes, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(written)
    with caplog.at_level(logging.WARNING):
        await keeper(file, Owner({})).load()
    assert len(caplog.records) == 1
    assert problem in caplog.text


async def test_of_failed_writes_in_a_row_the_first_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    kept = keeper(folder / "file", Owner(CONTENT))
    for _ in range(3):
        await kept.save()
    assert len(caplog.records) == 1
    folder.mkdir()
    await kept.save()
    assert read_snapshot(folder / "file", "kind", 1000.0) == CONTENT
    (folder / "file").unlink()
    folder.rmdir()
    await kept.save()
    assert len(caplog.records) == 2
