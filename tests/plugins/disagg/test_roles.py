import pytest
from hypothesis import given

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint, Filter
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.disagg.roles import DecodeFilter, EncodeFilter, PrefillFilter

ROLES = ["", "decode", "prefill", "encode", "both", "prefill-decode", "encode-prefill", "encode-prefill-decode", "x"]
ENDPOINTS = [make_endpoint(role or "none", labels={"llm-d.ai/role": role} if role else {}) for role in ROLES]


@pytest.mark.parametrize(
    ("plugin", "kept"),
    [
        pytest.param(
            DecodeFilter(), ["none", "decode", "both", "prefill-decode", "encode-prefill-decode"], id="who decodes"
        ),
        pytest.param(
            PrefillFilter(),
            ["prefill", "both", "prefill-decode", "encode-prefill", "encode-prefill-decode"],
            id="who prefills: by a role only",
        ),
        pytest.param(EncodeFilter(), ["encode", "encode-prefill", "encode-prefill-decode"], id="who encodes"),
    ],
)
def test_the_role_says_who_takes_part_in_a_stage(plugin: Filter, kept: list[str]) -> None:
    found = plugin.filter(make_request(), make_state(), ENDPOINTS)
    assert [endpoint.name.removeprefix("default/") for endpoint in found] == kept


@given(endpoints=endpoint_lists())
def test_the_filters_keep_their_contract(endpoints: list[Endpoint]) -> None:
    for plugin in (DecodeFilter(), PrefillFilter(), EncodeFilter()):
        check_filter(plugin, make_request(), make_state(), endpoints)
