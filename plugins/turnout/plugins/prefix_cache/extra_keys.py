"""What a block of an engine's cache depends on beside its tokens.

An engine's block hash covers more than tokens, and the event says what, per block: the adapter's name,
multimodal items that reach into the block, in the first block of a prompt the cache salt, and digests of prompt
embeddings. Adapter and salt become fields of the event; the rest becomes one byte string per block, which
``extras_of`` builds from a request. Of an item only its content hash is encoded, in prompt order, and not its
offset: what stands before a block is in its chain already. What a request cannot know (prompt embeddings, entries
of unknown form) is encoded so that no result of ``extras_of`` equals it, and such a block never matches.

A bare string in a prompt's first block that is not the adapter is the salt, with one exception: vLLM of early 2026,
recognisable by events without a group, wrote content hashes as bare strings too. There a string that has the form
of a SHA-256, BLAKE3 or SHA-512 digest, or that the second block repeats, is an item.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

_DIGEST = re.compile(r"[0-9a-f]{64}(?:[0-9a-f]{64})?")
_ITEM, _FOREIGN = b"m", b"?"
_anything = msgspec.msgpack.Decoder()


def extras_of(multimodal_hashes_in_block: Sequence[str]) -> bytes:
    """What ``BlocksStored.extras`` holds for a block that these multimodal items reach into, in prompt order."""
    return b"".join(_encoded(_ITEM, text.encode("utf-8", "surrogatepass")) for text in multimodal_hashes_in_block)


def _encoded(kind: bytes, content: bytes) -> bytes:
    return b"%b%b%b" % (kind, len(content).to_bytes(4, "little"), content)


def read_extra_keys(
    keys: Sequence[Sequence[msgspec.Raw] | None] | None,
    *,
    blocks: int,
    lora_name: str | None,
    starts_chain: bool,
    has_group: bool,
) -> tuple[tuple[bytes, ...], str]:
    """The extras of each of an event's blocks, and the cache salt, "" if the event tells none.

    ``keys`` are the entries as they were sent, one sequence for each block. Where their number is not that of the
    blocks, it is not known which belongs to which, and no block gets extras that a request could have.
    """
    if keys is None or not any(keys):
        return (b"",) * blocks, ""
    if len(keys) != blocks:
        return (_FOREIGN,) * blocks, ""
    read = [_BlockKeys(entries or (), lora_name) for entries in keys]
    salt = _take_salt(read, has_group) if starts_chain else ""
    return tuple([block.encoded() for block in read]), salt


class _BlockKeys:
    """The keys of one block in their order, without the adapter."""

    __slots__ = ("has_pairs", "items", "last_bare", "salt")

    def __init__(self, entries: Iterable[msgspec.Raw], lora_name: str | None) -> None:
        self.items: list[tuple[bytes, bytes]] = []
        self.last_bare: int | None = None
        self.salt = ""
        self.has_pairs = False
        adapter = lora_name
        for raw in entries:
            entry = _read(raw)
            if isinstance(entry, str) and entry == adapter:
                adapter = None
            else:
                self._add(entry, raw)

    def _add(self, entry: object, raw: msgspec.Raw) -> None:
        match entry:
            case str():
                self.last_bare = len(self.items)
                self.items.append((_ITEM, entry.encode()))
            case [str(identifier), int()] | ["mm", str(identifier), int()]:
                self.has_pairs = True
                self.items.append((_ITEM, identifier.encode()))
            case ["lora", str(), *_]:
                pass
            case ["cache_salt", str(salt)]:
                self.salt = salt
            case _:
                self.items.append((_FOREIGN, bytes(raw)))

    def encoded(self) -> bytes:
        return b"".join(_encoded(kind, content) for kind, content in self.items)


def _read(raw: msgspec.Raw) -> object:
    try:
        return _anything.decode(raw)
    except ValueError:
        return None


def _take_salt(blocks: Sequence[_BlockKeys], has_group: bool) -> str:
    """Removes the salt from the keys of a chain's first block and returns it."""
    first = blocks[0]
    if first.salt or first.last_bare is None:
        return first.salt
    item = first.items[first.last_bare]
    text = item[1].decode()
    hashes_are_bare = not has_group and not any(block.has_pairs for block in blocks)
    if hashes_are_bare and (_DIGEST.fullmatch(text) or any(item in block.items for block in blocks[1:2])):
        return ""
    del first.items[first.last_bare]
    return text
