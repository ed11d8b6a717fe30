import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.prefix_cache.extra_keys import extras_of, read_extra_keys

SHA256 = "9f3babc24ffbe367fc99904f65064cfe44accb35d1d2e43f665aa02119c7950d"


def read(
    keys: list[list[object] | None] | None,
    *,
    blocks: int | None = None,
    lora_name: str | None = None,
    starts_chain: bool = True,
    has_group: bool = True,
) -> tuple[tuple[bytes, ...], str]:
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(keys), type=list[list[msgspec.Raw] | None] | None)
    count = blocks if blocks is not None else len(keys or ())
    return read_extra_keys(raw, blocks=count, lora_name=lora_name, starts_chain=starts_chain, has_group=has_group)


def items(*per_block: list[str]) -> tuple[bytes, ...]:
    return tuple(map(extras_of, per_block))


@pytest.mark.parametrize(
    ("keys", "lora_name", "extras", "salt"),
    [
        pytest.param([["a"], ["a"]], "a", items([], []), "", id="an adapter alone leaves nothing"),
        pytest.param([["s"], None], None, items([], []), "s", id="a salt alone"),
        pytest.param([["a", "s"], ["a"]], "a", items([], []), "s", id="adapter and salt"),
        pytest.param([["a", "a"], ["a"]], "a", items([], []), "a", id="a salt that equals the adapter's name"),
        pytest.param(
            [["a", ["h", 3], ["i", 9], "s"], ["a", ["i", -7]]], "a", items(["h", "i"], ["i"]), "s", id="items as pairs"
        ),
        pytest.param([[["h", 0]], [["h", -32]]], None, items(["h"], ["h"]), "", id="items and no salt"),
        pytest.param([[SHA256]], None, items([]), SHA256, id="a salt that looks like a digest"),
        pytest.param(
            [[["lora", "a", "/path"], ["mm", "h", 1], ["cache_salt", "s"]], [["lora", "a", "/path"]]],
            "a",
            items(["h"], []),
            "s",
            id="tagged, as the engine hashes them",
        ),
    ],
)
def test_adapter_items_and_salt_are_told_apart(
    keys: list[list[object] | None], lora_name: str | None, extras: tuple[bytes, ...], salt: str
) -> None:
    assert read(keys, lora_name=lora_name) == (extras, salt)


@pytest.mark.parametrize(
    ("keys", "extras", "salt"),
    [
        pytest.param([["s"], None], items([], []), "s", id="a plain word is a salt"),
        pytest.param([[SHA256], None], items([SHA256], []), "", id="a digest is an item"),
        pytest.param([["uuid", "s"], ["uuid"]], items(["uuid"], ["uuid"]), "s", id="only the last one can be a salt"),
        pytest.param([["uuid"], ["uuid"]], items(["uuid"], ["uuid"]), "", id="what the second block repeats"),
        pytest.param(
            [[SHA256, ["h", 0]]], items(["h"]), SHA256, id="an engine that writes pairs writes no bare hashes"
        ),
    ],
)
def test_engines_without_groups_may_write_bare_content_hashes(
    keys: list[list[object] | None], extras: tuple[bytes, ...], salt: str
) -> None:
    assert read(keys, has_group=False) == (extras, salt)


def test_a_later_part_of_a_chain_has_no_salt() -> None:
    assert read([["h"]], starts_chain=False) == (items(["h"]), "")


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(b"\x01\x02", id="digest of prompt embeddings"),
        pytest.param({"h": 1}, id="a map"),
        pytest.param(["prompt_embeds", b"\x01"], id="tagged digest of prompt embeddings"),
        pytest.param(["h", "i", "j", "k"], id="an array of another form"),
        pytest.param(7, id="a number"),
    ],
)
def test_what_a_request_cannot_know_equals_nothing_a_request_has(entry: object) -> None:
    (extras,), salt = read([[entry]])
    assert salt == ""
    assert extras[:1] == b"?"
    assert extras == read([[entry]])[0][0]


def test_keys_that_cannot_be_assigned_to_blocks_match_nothing() -> None:
    assert read([["h"], None], blocks=3) == ((b"?", b"?", b"?"), "")
    assert read([None, None], blocks=3) == ((b"", b"", b""), "")
    assert read(None, blocks=1) == ((b"",), "")


@given(st.lists(st.text("abä", max_size=8), max_size=4), st.lists(st.text("abä", max_size=8), max_size=4))
def test_only_equal_items_have_equal_extras(one: list[str], other: list[str]) -> None:
    assert (extras_of(one) == extras_of(other)) == (one == other)


@given(st.lists(st.text("abä", max_size=8), max_size=4), st.text("abä", min_size=1, max_size=8))
def test_what_an_engine_tells_is_what_a_request_builds(hashes: list[str], salt: str) -> None:
    pairs: list[object] = [[text, 5] for text in hashes]
    assert read([[*pairs, salt]]) == ((extras_of(hashes),), salt)
