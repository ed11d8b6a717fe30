import json
import re
from collections.abc import Mapping

import pytest

from epp.topology.gpus import gpu, link, machine
from turnout.plugins.topology.document import MAX_BYTES, encoded, parse

PAIR = machine(gpu(0, link(0, 1)), gpu(1, link(0, 0)))


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(encoded(PAIR)), **fields}).encode()


def pairs(*changes: Mapping[str, object]) -> list[object]:
    (pair,) = json.loads(encoded(PAIR))["pairs"]
    return [{**pair, **change} for change in changes]


def test_unknown_fields_are_ignored_so_that_a_newer_agent_can_be_read() -> None:
    assert parse(changed(humidity=0.4)) == PAIR


GPUS = json.loads(encoded(PAIR))["gpus"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(b" " * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes", id="without end"),
        pytest.param(b"", "no topology document: Input data was truncated", id="empty"),
        pytest.param(b"<html>", "no topology document: JSON is malformed", id="no JSON"),
        pytest.param(b"[" * 100_000, "no topology document", id="deep"),
        pytest.param(b"{}", "missing required field `schema`", id="something else"),
        pytest.param(changed(schema="turnout.topology/v2"), "schema is 'turnout.topology/v2', this reads", id="newer"),
        pytest.param(changed(gpus=[{"index": 0}] * 300), "length <= 64", id="more GPUs than a machine has"),
        pytest.param(changed(node="n" * 300), "length <= 256", id="a long name"),
        pytest.param(changed(gpus=[GPUS[0], GPUS[0]]), "one is there twice", id="a GPU twice"),
        pytest.param(changed(gpus=GPUS[::-1]), "not in order", id="GPUs in another order"),
        pytest.param(changed(gpus=[{**GPUS[0], "utilization": 1.5}, GPUS[1]]), "<= 1", id="busier than busy"),
        pytest.param(changed(gpus=[{**GPUS[0], "socket": 3}, GPUS[1]]), "socket 3, which is not", id="no such socket"),
        pytest.param(changed(pairs=[]), "one pair for each two GPUs", id="a pair is missing"),
        pytest.param(changed(pairs=pairs({}, {})), "one pair for each two GPUs", id="a pair twice"),
        pytest.param(changed(pairs=pairs({"b": 2})), "one pair for each two GPUs", id="a pair with a stranger"),
        pytest.param(changed(pairs=pairs({"a": 1, "b": 0})), "one pair for each two GPUs", id="a pair backwards"),
        pytest.param(changed(pairs=pairs({"nvlinks": 0})), "is 'NV1' with 0 NVLinks", id="NVLinks that are none"),
        pytest.param(
            changed(pairs=pairs({"nvlinks": 5, "link": "NV5"})),
            "GPU 0 to GPU 1 has 5 NVLinks, more than one of them has up",
            id="more NVLinks than a GPU has",
        ),
        pytest.param(
            changed(pairs=pairs({"bytes_per_second": 2**53})), "has 9007199254740992 bytes per second", id="too fast"
        ),
        pytest.param(
            changed(gpus=[{**GPUS[0], "memory": {"total": 1, "used": 0, "free": 2}}, GPUS[1]]),
            "GPU 0 has more memory free or in use than there is",
            id="more memory free than there is",
        ),
        pytest.param(changed(pairs=pairs({"level": "NEAR"})), "Invalid enum value", id="no level"),
        pytest.param(changed(pairs=pairs({"bytes_per_second": -1})), ">= 0", id="slower than nothing"),
        pytest.param(
            changed(gpus=[{**GPUS[0], "nvlinks": [{**GPUS[0]["nvlinks"][0], "peer_gpu": 0}]}, GPUS[1]]),
            "GPU 0 has an NVLink to itself",
            id="a link to itself",
        ),
    ],
)
def test_a_document_that_cannot_be_is_refused(text: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse(text)
