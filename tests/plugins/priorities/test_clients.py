from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Headers
from turnout.plugins.priorities.clients import ClientKeys, LevelClient

KEY_A = "f10f781241e2246678b6b45c857069208152a53863e47fac33f607ab405006f4"  # key-a
KEY_B = "a30534a53b23547377ddccbd1ac85a8a84c13db43493c16e55a6abc7b0eba634"  # key-b
BYTE_FF = "a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

CLIENTS = [
    LevelClient("a", KEY_A),
    LevelClient("b", KEY_B.upper()),
    LevelClient("ff", BYTE_FF),
    LevelClient("empty", EMPTY),
]


def found(keys: ClientKeys, *headers: tuple[str, str]) -> str | None:
    client = keys.client_of(Headers(headers))
    return client.name if client is not None else None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="no header"),
        pytest.param(["Bearer key-a"], "a", id="a bearer token"),
        pytest.param(["bearer   key-b "], "b", id="with another spelling of the scheme"),
        pytest.param(["key-a"], "a", id="the key alone"),
        pytest.param(["Basic key-a"], None, id="another scheme"),
        pytest.param(["Bearer key-c"], None, id="an unknown key"),
        pytest.param([KEY_A], None, id="the digest is no key"),
        pytest.param(["Bearer "], None, id="an empty key is none"),
        pytest.param(["Bearer"], None, id="a scheme alone"),
        pytest.param([""], None, id="an empty header"),
        pytest.param(["Bearer key-a", "Bearer key-a"], "a", id="twice the same"),
        pytest.param(["Bearer key-a", "Bearer key-b"], None, id="two different keys"),
        pytest.param(["\udcff"], "ff", id="a key that is no UTF-8 is hashed as its bytes"),
        pytest.param(["\ud800"], None, id="what no bytes are"),
        pytest.param(["x" * 1_000_000], None, id="a million characters"),
    ],
)
def test_a_key_tells_the_client(values: Sequence[str], expected: str | None) -> None:
    headers = [("Authorization", value) for value in values]
    assert found(ClientKeys(CLIENTS, "authorization"), *headers) == expected


def test_the_key_may_be_in_another_header() -> None:
    keys = ClientKeys(CLIENTS, "X-API-Key")
    assert found(keys, ("x-api-key", "key-b"), ("authorization", "Bearer key-a")) == "b"
    assert found(keys, ("authorization", "Bearer key-a")) is None


def test_a_key_that_was_given_for_its_digest_is_not_shown() -> None:
    with pytest.raises(ValueError, match="key_sha256 must be 64 hexadecimal digits, got 8") as caught:
        LevelClient("a", "sk-12345")
    assert "sk-12345" not in str(caught.value)


@pytest.mark.parametrize("digest", ["", KEY_A[:-1], KEY_A + "0", "g" * 64, "٠" * 64, KEY_A + "\n"])
def test_a_digest_has_64_hexadecimal_digits(digest: str) -> None:
    with pytest.raises(ValueError, match="key_sha256 must be 64 hexadecimal digits"):
        LevelClient("a", digest)


def test_clients_have_names() -> None:
    with pytest.raises(ValueError, match="name must not be empty, got ''"):
        LevelClient("", KEY_A)


@pytest.mark.parametrize(
    ("clients", "header", "message"),
    [
        pytest.param([], "", "key_header must not be empty, got ''", id="no header to read"),
        pytest.param(
            [LevelClient("a", KEY_A), LevelClient("a", KEY_B)],
            "authorization",
            r"clients\[1\].name must be its own, got 'a' twice",
            id="one name twice",
        ),
        pytest.param(
            [LevelClient("a", KEY_A), LevelClient("b", KEY_A.upper())],
            "authorization",
            r"clients\[1\].key_sha256 must be its own, got that of 'a'",
            id="one key twice",
        ),
    ],
)
def test_clients_that_cannot_be_told_apart_are_refused(
    clients: Sequence[LevelClient], header: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ClientKeys(clients, header)


@given(value=st.text() | st.text(alphabet=st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)))
def test_no_header_breaks_it(value: str) -> None:
    assert found(ClientKeys(CLIENTS[:2], "authorization"), ("authorization", f"x{value}")) is None
