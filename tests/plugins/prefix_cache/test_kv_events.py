import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.prefix_cache.kv_events import (
    MAX_BLOCKS,
    MAX_EVENTS,
    MAX_NAME_LENGTH,
    MAX_PAYLOAD_BYTES,
    MAX_TOKENS,
    AllCleared,
    BlocksRemoved,
    BlocksStored,
    EventBatch,
    KVEvent,
    UndecodableError,
    decode_batch,
    extras_of,
    rank_of,
)

# fmt: off
CAPTURED_TOKENS = (
    1, 68, 224, 85, 68, 90, 224, 73, 85, 68, 80, 72, 224, 86, 68, 271,
    79, 72, 29, 275, 291, 285, 287, 288, 290, 275, 289, 286, 298, 275, 291, 285,
)
# fmt: on
SAMPLES = Path(__file__).parent / "samples"
FIELDS = {
    "BlockStored": (
        "block_hashes",
        "parent_block_hash",
        "token_ids",
        "block_size",
        "lora_id",
        "medium",
        "lora_name",
        "extra_keys",
        "group_idx",
        "kv_cache_spec_kind",
    ),
    "BlockRemoved": ("block_hashes", "medium", "group_idx"),
    "AllBlocksCleared": (),
}
Wire = Mapping[str, Any]


def arrays(timestamp: float, events: Sequence[Wire], rank: int | None) -> Any:
    return [timestamp, [positional(event) for event in events], *([] if rank is None else [rank])]


def positional(event: Wire) -> list[Any]:
    values = [event.get(field) for field in FIELDS.get(event["type"], ())]
    while values and values[-1] is None and len(values) > (4 if event["type"] == "BlockStored" else 1):
        values.pop()
    return [event["type"], *values]


def maps_in_an_array(timestamp: float, events: Sequence[Wire], rank: int | None) -> Any:
    return [timestamp, events, rank]


def maps(timestamp: float, events: Sequence[Wire], rank: int | None) -> Any:
    return {"later_field": [1], "ts": timestamp, "events": events, "data_parallel_rank": rank}


Shape = Callable[[float, Sequence[Wire], int | None], Any]
SHAPES: list[Shape] = [arrays, maps_in_an_array, maps]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=["arrays", "maps in an array", "maps"])

packed = msgspec.msgpack.encode


def tokens(*ids: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in ids)


def stored(**fields: Any) -> dict[str, Any]:
    return {
        "type": "BlockStored",
        "block_hashes": [7],
        "parent_block_hash": None,
        "token_ids": [1, 2],
        "block_size": 2,
        **fields,
    }


def decoded(*events: object) -> tuple[KVEvent, ...]:
    return decode_batch(packed([1.0, events])).events


def sampled() -> list[dict[str, Any]]:
    lines = (SAMPLES / "vllm-0.32.0-kv-events-decoded.jsonl").read_text().splitlines()
    return [with_bytes(json.loads(line)) for line in lines]


def with_bytes(value: Any) -> Any:
    """Undo how the capture writes bytes."""
    if isinstance(value, dict):
        return {key: with_bytes(part) for key, part in value.items()}
    if isinstance(value, list):
        return [with_bytes(part) for part in value]
    return bytes.fromhex(value[4:]) if isinstance(value, str) and value.startswith("hex:") else value


def test_a_captured_frame_decodes_to_its_event() -> None:
    frames = [bytes.fromhex(line) for line in (SAMPLES / "vllm-0.32.0-kv-event-raw-frames.hex").read_text().split()]
    assert decode_batch(frames[2]) == EventBatch(
        timestamp=1795329504.1475692,
        events=(
            BlocksStored(
                hashes=(3152524850510561376,),
                parent=None,
                token_ids=tokens(*CAPTURED_TOKENS),
                block_size=32,
                medium="GPU",
                lora_name=None,
                extras=(b"",),
                salt="",
                group=0,
                kind="full_attention",
            ),
        ),
        rank=0,
        unknown={},
    )


def test_captured_batches_re_encode_to_the_captured_size_and_decode() -> None:
    samples = sampled()
    assert [len(packed(sample["payload"])) for sample in samples] == [sample["payload_bytes"] for sample in samples]
    batches = [decode_batch(packed(sample["payload"])) for sample in samples]
    assert [[type(event).__name__ for event in batch.events] for batch in batches] == [
        ["BlocksStored"],
        ["BlocksStored"],
        ["BlocksStored"],
        ["BlocksStored"],
        ["AllCleared", "AllCleared", "BlocksStored"],
        ["BlocksStored"],
        ["BlocksRemoved"],
        ["BlocksRemoved", "BlocksRemoved", "BlocksStored", "BlocksStored", "BlocksStored"],
        ["BlocksStored"],
        ["BlocksStored"],
    ]
    assert {batch.rank for batch in batches} == {0}
    assert all(batch.unknown == {} for batch in batches)


def captured(number: int, place: int) -> KVEvent:
    return decode_batch(packed(sampled()[number]["payload"])).events[place]


def test_a_captured_removal() -> None:
    assert captured(7, 0) == BlocksRemoved((15199965605690484035,), "GPU", 0)


def test_a_captured_store_for_an_adapter() -> None:
    event = captured(7, 2)
    assert isinstance(event, BlocksStored)
    assert event.hashes == (13059189401055802084,)
    assert event.parent == 13368685072764515923
    assert event.token_ids[:16] == tokens(293, 61, 224, 180)
    assert len(event.token_ids) == 32 * 4
    assert (event.lora_name, event.extras, event.salt) == ("a", (b"",), "")


def test_a_captured_hash_of_32_bytes_is_folded_to_its_last_8() -> None:
    event = captured(8, 0)
    assert isinstance(event, BlocksStored)
    assert event.hashes == (0x665AA02119C7950D,)
    assert event.token_ids[:16] == tokens(1, 260, 79, 79)


@every_shape
def test_every_shape_gives_the_same_events(shape: Shape) -> None:
    wire = [
        {"type": "AllBlocksCleared"},
        stored(
            block_hashes=[-1, 2**64 - 2, b"\xff" * 32 + b"\x00" * 7 + b"\x05"],
            parent_block_hash=-(2**63),
            token_ids=[1, 2, 3, 4, 5, 2**32 - 1],
            lora_id=3,
            medium="cpu",
            lora_name="sql",
            extra_keys=[["sql", ["image", -3]], ["sql"], None],
            group_idx=2,
            kv_cache_spec_kind="sliding_window",
        ),
        {"type": "BlockRemoved", "block_hashes": [1, -1], "medium": "Storage", "group_idx": 1},
    ]
    assert decode_batch(packed(shape(2.5, wire, 4))) == EventBatch(
        timestamp=2.5,
        events=(
            AllCleared(),
            BlocksStored(
                hashes=(2**64 - 1, 2**64 - 2, 5),
                parent=2**63,
                token_ids=tokens(1, 2, 3, 4, 5, 2**32 - 1),
                block_size=2,
                medium="CPU",
                lora_name="sql",
                extras=(extras_of(["image"]), b"", b""),
                salt="",
                group=2,
                kind="sliding_window",
            ),
            BlocksRemoved((1, 2**64 - 1), "STORAGE", 1),
        ),
        rank=4,
        unknown={},
    )


@every_shape
def test_fields_that_came_later_may_be_missing(shape: Shape) -> None:
    wire = [stored(lora_id=3), {"type": "BlockRemoved", "block_hashes": [7]}]
    batch = decode_batch(packed(shape(1, wire, None)))
    assert batch == EventBatch(
        timestamp=1.0,
        events=(
            BlocksStored((7,), None, tokens(1, 2), 2, "GPU", "lora-id:3", (b"",), "", 0, ""),
            BlocksRemoved((7,), "GPU", 0),
        ),
        rank=None,
        unknown={},
    )


@every_shape
def test_fields_of_later_versions_are_skipped(shape: Shape) -> None:
    wire = [stored(medium="GPU", session_id="x", ownership={"a": [1]})]
    payload = shape(1.0, wire, 0)
    if shape is arrays:
        payload[1][0] += [None, None, None, None, 128, "LOCAL", {"a": 1}]
    (event,) = decode_batch(packed(payload)).events
    assert event == BlocksStored((7,), None, tokens(1, 2), 2, "GPU", None, (b"",), "", 0, "")


@every_shape
def test_unknown_tags_are_counted_and_the_rest_is_read(shape: Shape) -> None:
    wire: Sequence[Wire] = [{"type": "BlockMoved"}, {"type": "AllBlocksCleared"}, {"type": "BlockMoved"}]
    batch = decode_batch(packed(shape(1.0, wire, 0)))
    assert batch.events == (AllCleared(),)
    assert batch.unknown == {"BlockMoved": 2}


def test_the_names_of_unknown_tags_are_bounded() -> None:
    batch = decode_batch(packed([1.0, [[f"{number:03}" + "x" * 99] for number in range(20)]]))
    assert len(batch.unknown) == 9
    assert batch.unknown["000" + "x" * 61] == 1
    assert batch.unknown[""] == 12


def test_a_salt_is_read_from_the_first_block_of_a_prompt() -> None:
    first, later = decoded(
        stored(block_hashes=[7, 8], extra_keys=[["tenant"], None], group_idx=0),
        stored(parent_block_hash=8, extra_keys=[["tenant"]], group_idx=0),
    )
    assert isinstance(first, BlocksStored)
    assert isinstance(later, BlocksStored)
    assert (first.salt, first.extras) == ("tenant", (b"", b""))
    assert (later.salt, later.extras) == ("", (extras_of(["tenant"]),))


def test_blocks_of_which_the_engine_knows_no_tokens_are_events_too() -> None:
    (event,) = decoded(stored(token_ids=[], block_size=0, medium="CPU"))
    assert isinstance(event, BlocksStored)
    assert (event.hashes, event.token_ids, event.block_size) == ((7,), b"", 0)


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        pytest.param(b"", "truncated", id="nothing"),
        pytest.param(b"\x93\xcb", "truncated", id="the end is missing"),
        pytest.param(b"\xdd\xff\xff\xff\xff", "truncated", id="an array that claims four billion elements"),
        pytest.param(packed("text"), "shape", id="neither array nor map"),
        pytest.param(packed([1.0, []]) + b"\x01", "shape", id="something follows"),
        pytest.param(packed([1.0, [5]]), "shape", id="an event that is a number"),
        pytest.param(b"\x92\x01" + b"\x91" * 100_000, "shape", id="nested beyond measure"),
        pytest.param(packed([1.0]), "field", id="no events"),
        pytest.param(packed({"events": []}), "field", id="no timestamp"),
        pytest.param(packed(["now", []]), "field", id="a timestamp that is text"),
        pytest.param(b"\x92\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\x90", "field", id="a timestamp that is no number"),
        pytest.param(packed([1.0, [], "0"]), "field", id="a rank that is text"),
        pytest.param(packed([1.0, [[]]]), "field", id="an event without a tag"),
        pytest.param(packed([1.0, [{"block_hashes": [1]}]]), "field", id="a map without a tag"),
        pytest.param(packed([1.0, [["BlockStored", [1], None]]]), "field", id="required fields are missing"),
        pytest.param(packed([1.0, [stored(block_hashes=["1"])]]), "field", id="a hash that is text"),
        pytest.param(packed([1.0, [stored(block_hashes=[True])]]), "field", id="a hash that is a truth value"),
        pytest.param(packed([1.0, [stored(block_hashes=[1.0])]]), "field", id="a hash that is a fraction"),
        pytest.param(packed([1.0, [stored(block_hashes=[b""])]]), "field", id="a hash of no bytes"),
        pytest.param(packed([1.0, [stored(token_ids=[-1])]]), "field", id="a negative token"),
        pytest.param(packed([1.0, [stored(token_ids=[2**32])]]), "field", id="a token beyond 32 bits"),
        pytest.param(packed([1.0, [stored(token_ids=[[1, 2]])]]), "field", id="a token that is a pair"),
        pytest.param(packed([1.0, [stored(block_size=-1)]]), "field", id="a negative block size"),
        pytest.param(packed([1.0, [stored(extra_keys=["a"])]]), "field", id="extra keys that are not lists"),
        pytest.param(packed([1.0, [stored(medium=1)]]), "field", id="a medium that is a number"),
        pytest.param(b"\x92\x01\x91\x93\xacBlockRemoved\x91\x01\xa2\xff\xff", "field", id="a medium that is not UTF-8"),
        pytest.param(bytes(MAX_PAYLOAD_BYTES + 1), "too-large", id="too many bytes"),
        pytest.param(packed([1.0, [["X"]] * (MAX_EVENTS + 1)]), "too-large", id="too many events"),
        pytest.param(
            packed([1.0, [["BlockRemoved", [1] * MAX_BLOCKS], ["BlockRemoved", [1]]]]),
            "too-large",
            id="too many blocks",
        ),
        pytest.param(packed([1.0, [stored(token_ids=[1] * (MAX_TOKENS + 1))]]), "too-large", id="too many tokens"),
        pytest.param(packed([1.0, [stored(lora_name="a" * (MAX_NAME_LENGTH + 1))]]), "too-large", id="a long name"),
    ],
)
def test_what_is_not_a_batch_is_refused_with_its_cause(payload: bytes, cause: str) -> None:
    with pytest.raises(UndecodableError) as refused:
        decode_batch(payload)
    assert refused.value.cause == cause


@pytest.mark.parametrize(
    ("payload", "rank"),
    [
        pytest.param(packed([1.0, [["X"]], 3]), 3, id="an array"),
        pytest.param(packed({"ts": 1.0, "events": [], "data_parallel_rank": 2}), 2, id="a map"),
        pytest.param(packed([1.0, []]), None, id="not told"),
        pytest.param(b"\xc1", None, id="not msgpack"),
        pytest.param(b"\x92\x01" + b"\x91" * 100_000, None, id="nested beyond measure"),
    ],
)
def test_a_rank_is_told_without_reading_events(payload: bytes, rank: int | None) -> None:
    assert rank_of(payload) == rank


hashes = st.one_of(st.integers(0, 2**64 - 1), st.binary(min_size=8, max_size=32))
names = st.none() | st.text("abä", min_size=1, max_size=5)
groups = st.none() | st.integers(0, 3)
stores = st.fixed_dictionaries(
    {
        "type": st.just("BlockStored"),
        "block_hashes": st.lists(hashes, max_size=3),
        "parent_block_hash": st.none() | hashes,
        "token_ids": st.lists(st.integers(0, 2**32 - 1), max_size=4),
        "block_size": st.integers(0, 64),
        "lora_id": st.none() | st.integers(0, 9),
        "medium": names,
        "lora_name": names,
        "group_idx": groups,
        "kv_cache_spec_kind": names,
    }
)
removals = st.fixed_dictionaries(
    {
        "type": st.just("BlockRemoved"),
        "block_hashes": st.lists(hashes, max_size=3),
        "medium": names,
        "group_idx": groups,
    }
)
wire_events = st.lists(st.one_of(stores, removals, st.just({"type": "AllBlocksCleared"})), max_size=4)
batches = st.tuples(
    st.sampled_from(SHAPES), st.floats(0, 2e9, allow_nan=False), wire_events, st.none() | st.integers(0, 7)
)


def folded(value: int | bytes) -> int:
    return value if isinstance(value, int) else int.from_bytes(value, "big") % 2**64


def expected(event: Wire) -> KVEvent:
    if event["type"] == "AllBlocksCleared":
        return AllCleared()
    names = tuple(folded(value) for value in event["block_hashes"])
    medium, group = (event["medium"] or "GPU").upper(), event["group_idx"] or 0
    if event["type"] == "BlockRemoved":
        return BlocksRemoved(names, medium, group)
    parent = event["parent_block_hash"]
    by_number = None if event["lora_id"] is None else f"lora-id:{event['lora_id']}"
    return BlocksStored(
        names,
        None if parent is None else folded(parent),
        array("I", event["token_ids"]).tobytes(),
        event["block_size"],
        medium,
        event["lora_name"] or by_number,
        (b"",) * len(names),
        "",
        group,
        event["kv_cache_spec_kind"] or "",
    )


@given(batches)
def test_batches_survive_the_way_over_the_wire(batch: tuple[Shape, float, Sequence[Wire], int | None]) -> None:
    shape, timestamp, events, rank = batch
    assert decode_batch(packed(shape(timestamp, events, rank))) == EventBatch(
        timestamp, tuple(map(expected, events)), rank, {}
    )


@given(batches, st.data())
def test_a_batch_that_lost_its_end_is_truncated(
    batch: tuple[Shape, float, Sequence[Wire], int | None], data: st.DataObject
) -> None:
    shape, timestamp, events, rank = batch
    payload = packed(shape(timestamp, events, rank))
    with pytest.raises(UndecodableError) as refused:
        decode_batch(payload[: data.draw(st.integers(0, len(payload) - 1))])
    assert refused.value.cause == "truncated"


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text("abä", max_size=4),
        st.binary(max_size=9),
    ),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text("abä", max_size=4), parts, max_size=4),
    max_leaves=12,
)
mangled = st.one_of(
    st.binary(max_size=64),
    st.tuples(batches, st.binary(max_size=3), st.integers(0, 200)).map(
        lambda drawn: spliced(packed(drawn[0][0](drawn[0][1], drawn[0][2], drawn[0][3])), drawn[1], drawn[2])
    ),
    anything.map(packed),
    st.lists(anything, max_size=11).map(lambda fields: packed([1.0, [["BlockStored", *fields]]])),
    st.dictionaries(st.sampled_from(FIELDS["BlockStored"]), anything).map(
        lambda fields: packed([1.0, [stored(**fields)]])
    ),
    st.binary(max_size=12).map(lambda junk: packed([1.0, [stored(extra_keys=[[msgspec.Raw(junk or b"\xc0")]])]])),
)


def spliced(payload: bytes, junk: bytes, place: int) -> bytes:
    place %= len(payload) + 1
    return payload[:place] + junk + payload[place + len(junk) :]


@given(mangled)
def test_nothing_but_undecodable_is_raised_for_any_bytes(payload: bytes) -> None:
    with suppress(UndecodableError):
        batch = decode_batch(payload)
        assert all(len(event.extras) == len(event.hashes) for event in batch.events if isinstance(event, BlocksStored))
