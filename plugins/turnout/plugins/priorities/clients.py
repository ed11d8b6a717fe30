"""Clients, known by the digests of their keys. No key is kept or shown."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnout.framework import Headers

# A key is hashed for each request, and clients choose its length.
MAX_KEY_CHARACTERS = 4096

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class LevelClient:
    """A client: ``key_sha256`` is the SHA-256 of its key in hexadecimal, ``levels`` are those that it may use.

    ``fairness_id`` is the flow that its requests belong to; empty means the one that they state.

    Raises:
        ValueError: the name is empty, or the digest is not 64 hexadecimal digits.
    """

    name: str
    key_sha256: str
    levels: Sequence[str] = ()
    fairness_id: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError(f"name must not be empty, got {self.name!r}")
        if not _DIGEST.fullmatch(self.key_sha256.lower()):
            # What was given may be the key itself, which belongs in no log.
            length = len(self.key_sha256)
            raise ValueError(f"key_sha256 must be 64 hexadecimal digits, got {length} characters that are not")


class ClientKeys:
    """Finds the client of a request by the key in its header.

    Raises:
        ValueError: the header's name is empty, or two clients have one name or one key.
    """

    def __init__(self, clients: Sequence[LevelClient], key_header: str) -> None:
        if not key_header:
            raise ValueError(f"key_header must not be empty, got {key_header!r}")
        self._header = key_header.strip().lower()
        self._clients: dict[str, LevelClient] = {}
        names: set[str] = set()
        for position, client in enumerate(clients):
            digest = client.key_sha256.lower()
            if client.name in names:
                raise ValueError(f"clients[{position}].name must be its own, got {client.name!r} twice")
            if digest in self._clients:
                other = self._clients[digest].name
                raise ValueError(f"clients[{position}].key_sha256 must be its own, got that of {other!r}")
            names.add(client.name)
            self._clients[digest] = client

    def client_of(self, headers: Headers) -> LevelClient | None:
        """The client whose key the request has, or None; a header with different values has no key."""
        if not self._clients:
            return None
        values = set(headers.all(self._header))
        key = _without_scheme(values.pop()) if len(values) == 1 else ""
        if not 0 < len(key) <= MAX_KEY_CHARACTERS:
            return None
        try:
            # Bytes that are no UTF-8 arrive as surrogates and are hashed as the bytes that they were.
            data = key.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return None
        return self._clients.get(hashlib.sha256(data).hexdigest())


def _without_scheme(value: str) -> str:
    return value[len(_BEARER) :].strip(" ") if value[: len(_BEARER)].lower() == _BEARER else value
