"""TLS of the ext_proc port: a certificate from a folder, kept current, or one made in memory."""

import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

logger = logging.getLogger(__name__)

CERTIFICATE_FILE = "tls.crt"
KEY_FILE = "tls.key"

_Pair: TypeAlias = tuple[bytes, bytes]  # private key, certificate chain; both PEM
_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]
_LIFETIME = dt.timedelta(days=3650)


class CertificateError(Exception):
    """The key pair cannot be used; the message names the file and the problem."""


@dataclass(frozen=True, slots=True)
class ServingTls:
    """Where the certificate comes from.

    ``cert_path`` is a folder with ``tls.crt`` (PEM, the chain) and ``tls.key`` (PEM); None makes a self-signed
    certificate that lives as long as the process. With ``reload`` a new connection gets what the folder holds then.
    """

    cert_path: Path | None = None
    reload: bool = False


def server_credentials(tls: ServingTls) -> grpc.ServerCredentials:
    """Credentials for a gRPC port.

    Raises:
        CertificateError: the folder holds no usable pair.
    """
    if tls.cert_path is None:
        return grpc.ssl_server_credentials([self_signed()])
    folder = CertificateFolder(tls.cert_path)
    if not tls.reload:
        return grpc.ssl_server_credentials([folder.pair])
    first = grpc.ssl_server_certificate_configuration([folder.pair])
    return grpc.dynamic_ssl_server_credentials(first, folder.fetch)  # type: ignore[arg-type]  # None: unchanged


def self_signed() -> tuple[bytes, bytes]:
    """A new private key and a certificate for it, PEM, valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Turnout")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(key), certificate.public_bytes(serialization.Encoding.PEM)


class CertificateFolder:
    """The key pair of a folder. A new pair that cannot be used is logged, and the old one stays.

    Raises:
        CertificateError: the folder holds no usable pair to begin with.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp = self._look()
        self.pair = self._load()

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """The new pair if the files have changed, else None. gRPC asks at each handshake, on a thread of its own."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            # A pair that is bad is looked at once, not at each handshake.
            self._stamp = stamp
            self.pair = self._load()
        except CertificateError as error:
            logger.error("the new TLS certificate is not used: %s", error)  # noqa: TRY400 - the message says it all
            return None
        logger.info("serving the new TLS certificate from %s", self._folder)
        return grpc.ssl_server_certificate_configuration([self.pair])

    def _look(self) -> _Stamp:
        try:
            found = [(self._folder / name).stat() for name in (CERTIFICATE_FILE, KEY_FILE)]
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in found)

    def _load(self) -> _Pair:
        chain, key = self._read(CERTIFICATE_FILE), self._read(KEY_FILE)
        self._check(chain, key)
        return key, chain

    def _read(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from error

    def _check(self, chain: bytes, key: bytes) -> None:
        try:
            certificate = x509.load_pem_x509_certificates(chain)[0]
        except ValueError as error:
            raise CertificateError(f"{self._folder / CERTIFICATE_FILE}: {error}") from error
        try:
            private = serialization.load_pem_private_key(key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CertificateError(f"{self._folder / KEY_FILE}: {error}") from error
        if private.public_key() != certificate.public_key():
            raise CertificateError(f"{self._folder / KEY_FILE} does not belong to {CERTIFICATE_FILE}")


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
