import pytest

from turnout.plugins.prefix_cache.precise_config import (
    CostAwareMemoryConfig,
    IndexerConfig,
    InMemoryConfig,
    KVBlockIndexConfig,
    KVEventsConfig,
    TokenProcessorConfig,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("300B", 300), ("2GiB", 2 << 30), ("2Gi", 2 << 30), (" 5MB ", 5_000_000), ("1T", 10**12)],
)
def test_sizes_are_read_as_the_field_writes_them(text: str, size: int) -> None:
    assert CostAwareMemoryConfig(text).in_bytes == size


@pytest.mark.parametrize("text", ["", "0", "-1", "2 GiB", "GiB", "1e9", "9" * 20, "1XB", "1iB"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size must be at least 1 byte, got"):
        CostAwareMemoryConfig(text)


@pytest.mark.parametrize(
    ("config", "blocks"),
    [
        pytest.param(KVBlockIndexConfig(), 1_000, id="bytes alone"),
        pytest.param(KVBlockIndexConfig(InMemoryConfig(7)), 7, id="fewer blocks"),
        pytest.param(KVBlockIndexConfig(InMemoryConfig()), 1_000, id="more blocks than the bytes allow"),
        pytest.param(KVBlockIndexConfig(None, CostAwareMemoryConfig("3000")), 10, id="less memory"),
        pytest.param(KVBlockIndexConfig(None, CostAwareMemoryConfig("1")), 1, id="hardly any memory"),
    ],
)
def test_the_tightest_bound_counts(config: KVBlockIndexConfig, blocks: int) -> None:
    assert IndexerConfig(config).max_blocks(300_000) == blocks


def test_the_size_of_a_block_has_a_former_name_and_a_default() -> None:
    assert TokenProcessorConfig().size == 16
    assert TokenProcessorConfig(block_size_tokens=0, block_size=32).size == 32
    assert TokenProcessorConfig(block_size_tokens=0).size == 16
    with pytest.raises(ValueError, match="block_size_tokens must be at least 0, got -1"):
        TokenProcessorConfig(block_size_tokens=-1)
    with pytest.raises(ValueError, match="zmq_endpoint must begin with tcp:// or ipc://, got '5557'"):
        KVEventsConfig(zmq_endpoint="5557")
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        InMemoryConfig(0)
