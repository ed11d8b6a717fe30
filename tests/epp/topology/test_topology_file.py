from pathlib import Path

import pytest

from turnout.epp.topology.topology_file import write_changed


def test_a_file_is_made_replaced_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "topology.json"
    assert write_changed(path, b"one")
    before = path.stat()
    assert not write_changed(path, b"one")
    assert path.stat().st_ino == before.st_ino
    assert write_changed(path, b"two")
    assert (path.read_bytes(), path.stat().st_ino == before.st_ino) == (b"two", False)
    assert [one.name for one in tmp_path.iterdir()] == ["topology.json"]


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "topology.json"
    write_changed(path, b"old")
    with path.open("rb") as reader:
        write_changed(path, b"a longer one")
        assert reader.read() == b"old"


def test_what_cannot_be_replaced_stays_and_no_draft_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "topology.json"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        write_changed(folder, b"one")
    with pytest.raises(FileNotFoundError):
        write_changed(tmp_path / "missing" / "topology.json", b"one")
    assert [one.name for one in tmp_path.iterdir()] == ["topology.json"]
