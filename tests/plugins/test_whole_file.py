from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from turnout.plugins.whole_file import replace_file


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "state"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"a longer one")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"a longer one"
    assert [one.name for one in tmp_path.iterdir()] == ["state"]


def test_what_cannot_be_replaced_stays_and_no_draft_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(folder, b"one")
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "missing" / "state", b"one")
    assert [one.name for one in tmp_path.iterdir()] == ["state"]


def test_threads_that_write_one_file_write_it_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "state"
    contents = [bytes([number]) * 100_000 for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda content: replace_file(path, content), contents)) == [None] * 16
    assert path.read_bytes() in contents
