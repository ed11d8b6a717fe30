import logging
import os
from pathlib import Path

import pytest
from cryptography import x509

from turnout.epp.extproc.tls import CertificateError, CertificateFolder, ServingTls, self_signed, server_credentials


def write_pair(folder: Path, pair: tuple[bytes, bytes] | None = None) -> tuple[bytes, bytes]:
    """Replaces both files as a secret volume does: whole, by rename."""
    key, chain = pair or self_signed()
    for name, content in (("tls.key", key), ("tls.crt", chain)):
        draft = folder / f"{name}.new"
        draft.write_bytes(content)
        draft.replace(folder / name)
    return key, chain


def test_a_self_signed_certificate_is_new_each_time_and_lasts_ten_years() -> None:
    first, second = (x509.load_pem_x509_certificate(self_signed()[1]) for _ in range(2))
    assert first.serial_number != second.serial_number
    assert (first.not_valid_after_utc - first.not_valid_before_utc).days == 3650


@pytest.mark.parametrize("reload", [False, True])
def test_a_folder_gives_credentials(tmp_path: Path, reload: bool) -> None:
    write_pair(tmp_path)
    assert server_credentials(ServingTls(tmp_path, reload)) is not None


def test_files_that_did_not_change_are_not_read_again(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    folder = CertificateFolder(tmp_path)
    assert folder.fetch() is None
    assert folder.pair == pair


def test_a_new_pair_is_taken(tmp_path: Path) -> None:
    write_pair(tmp_path)
    folder = CertificateFolder(tmp_path)
    pair = write_pair(tmp_path)
    assert folder.fetch() is not None
    assert folder.pair == pair
    assert folder.fetch() is None


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        pytest.param("tls.crt", b"garbage", "tls.crt: ", id="a certificate that is none"),
        pytest.param("tls.key", b"garbage", "tls.key: ", id="a key that is none"),
        pytest.param("tls.key", self_signed()[0], "tls.key does not belong to tls.crt", id="a stranger's key"),
        pytest.param("tls.key", None, "tls.key: No such file or directory", id="a key that is gone"),
    ],
)
def test_a_bad_new_pair_keeps_the_old_one_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes | None, problem: str
) -> None:
    pair = write_pair(tmp_path)
    folder = CertificateFolder(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, (1, 1))
    with caplog.at_level(logging.ERROR):
        assert folder.fetch() is None
    assert folder.pair == pair
    assert problem in caplog.text
    if content is not None:
        caplog.clear()
        assert folder.fetch() is None
        assert caplog.text == ""


@pytest.mark.parametrize("reload", [False, True])
def test_a_server_does_not_start_without_a_usable_pair(tmp_path: Path, reload: bool) -> None:
    with pytest.raises(CertificateError, match=r"tls\.crt: No such file"):
        server_credentials(ServingTls(tmp_path, reload))
    key, _ = self_signed()
    write_pair(tmp_path, (key, self_signed()[1]))
    with pytest.raises(CertificateError, match="does not belong"):
        server_credentials(ServingTls(tmp_path, reload))
