import pytest

from turnout.plugins.mig.keys import slice_bytes


@pytest.mark.parametrize(
    ("profile", "size"),
    [
        pytest.param("1g.5gb", 5_000_000_000, id="the smallest of an A100"),
        pytest.param("1g.10gb+me", 10_000_000_000, id="with media engines"),
        pytest.param("7g.141gb", 141_000_000_000, id="a whole H200"),
        pytest.param("half a card", None, id="one that no GPU has"),
    ],
)
def test_a_slice_has_the_gigabytes_of_its_name(profile: str, size: int | None) -> None:
    assert slice_bytes(profile) == size
