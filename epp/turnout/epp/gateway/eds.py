"""The endpoint list that Envoy watches in `OverrideHost(path)` mode."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from turnout.epp.gateway.clusters import MODEL_SERVERS, assignment
from turnout.epp.gateway.options import Address

_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


class EdsFile:
    """Keeps one EDS file current for as long as the object lives.

    Envoy takes up a change when the file is replaced by a rename, so `path` should lie in a directory of its
    own: every rename in it makes Envoy read the file again. The file must exist before Envoy starts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: bytes | None = None

    def write(self, endpoints: Iterable[Address]) -> bool:
        """Replaces the list atomically and says whether it differed from the last one written here.

        Order and repetition do not matter. The addresses must be IP addresses.

        Raises:
            OSError: the directory cannot be written; the old file is intact.
            ValueError: an address is a host name.
        """
        content = _discovery_response(endpoints)
        if content == self._written:
            return False
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            draft.write_bytes(content)
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)
        self._written = content
        return True


def _discovery_response(endpoints: Iterable[Address]) -> bytes:
    unique = sorted(set(endpoints), key=lambda address: (address.host, address.port))
    for address in unique:
        if not address.is_ip():
            raise ValueError(f"an EDS endpoint must be an IP address, got {address.host!r}")
    resource = {"@type": _TYPE, **assignment(MODEL_SERVERS, unique)}
    return json.dumps({"resources": [resource]}, indent=1).encode()
