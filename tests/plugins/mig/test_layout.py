import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.mig.layout import parse_layout
from turnout.plugins.mig.profiles import PROFILES


@pytest.mark.parametrize(
    ("label", "counts"),
    [
        pytest.param("1g.5gb:7,2g.10gb:3", {"1g.5gb": 7, "2g.10gb": 3}, id="as people write it"),
        pytest.param("1g.5gb.x7_2g.10gb.x3", {"1g.5gb": 7, "2g.10gb": 3}, id="as Kubernetes allows it"),
        pytest.param("3g.40gb", {"3g.40gb": 1}, id="one"),
        pytest.param("1g.10gb+me:1, 1g.10gb:6", {"1g.10gb+me": 1, "1g.10gb": 6}, id="with media extensions"),
    ],
)
def test_a_label_names_profiles_and_counts(label: str, counts: dict[str, int]) -> None:
    assert {profile.name: count for profile, count in parse_layout(label).items()} == counts


@pytest.mark.parametrize(
    ("label", "message"),
    [
        pytest.param("", "must have 1 to 256 characters, got 0", id="empty"),
        pytest.param("1g.5gb," * 100, "must have 1 to 256 characters, got 700", id="too long"),
        pytest.param("1g.5gb:0", "must be from 1 to 112, got '0'", id="none of it"),
        pytest.param("1g.5gb:-1", "must be from 1 to 112, got '-1'", id="negative"),
        pytest.param("1g.5gb:99999", "must be from 1 to 112, got '99999'", id="more than any machine"),
        pytest.param("1g.5gb:1,1g.5gb:2", "MIG profile 1g.5gb is there twice", id="twice"),
        pytest.param("all-disabled", "unknown MIG profile 'all-disabled'", id="no profile"),
    ],
)
def test_a_label_that_makes_no_sense_is_refused(label: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_layout(label)


@given(st.text(max_size=300))
def test_any_text_is_a_layout_or_an_error(label: str) -> None:
    try:
        found = parse_layout(label)
    except ValueError:
        return
    assert all(profile.name in PROFILES and count > 0 for profile, count in found.items())
