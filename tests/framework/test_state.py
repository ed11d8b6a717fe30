import pytest

from turnout.framework import CycleState, KeyFamily, MissingStateError, StateKey

COUNT = StateKey[int]("count", producer="counter")


def test_what_is_written_is_read_until_it_is_replaced() -> None:
    state = CycleState()
    state.write(COUNT, 1)
    assert state.read(COUNT) == 1
    state.write(COUNT, 2)
    assert (state.read(COUNT), state.get(COUNT), COUNT in state) == (2, 2, True)


def test_keys_are_equal_only_if_they_are_the_same() -> None:
    namesake = StateKey[int]("count", producer="counter")
    state = CycleState()
    state.write(COUNT, 1)
    assert namesake != COUNT
    assert namesake not in state
    assert state.get(namesake) is None
    assert repr(COUNT) == "StateKey('count', producer='counter')"


def test_a_missing_key_is_an_error_or_the_default() -> None:
    state = CycleState()
    assert (state.get(COUNT), state.get(COUNT, 7), state.get(COUNT, "none")) == (None, 7, "none")
    with pytest.raises(MissingStateError, match="nothing has written 'count' for this request") as raised:
        state.read(COUNT)
    assert raised.value.key == "count"


def test_a_value_of_none_is_written_all_the_same() -> None:
    maybe = StateKey[int | None]("maybe")
    state = CycleState()
    state.write(maybe, None)
    assert maybe in state
    assert state.read(maybe) is None
    assert state.get(maybe, 3) is None


def test_states_of_two_requests_share_nothing() -> None:
    first, second = CycleState(1.0), CycleState(2.0)
    first.write(COUNT, 1)
    assert COUNT not in second
    assert (first.now, second.now) == (1.0, 2.0)


def test_what_was_written_is_shown_as_a_copy() -> None:
    state = CycleState()
    state.write(COUNT, 1)
    shown = state.written()
    state.write(COUNT, 2)
    assert shown == {COUNT: 1}


def test_a_family_has_one_key_for_each_producer() -> None:
    family = KeyFamily[int]("matches", default_producer="approx")
    assert family.of("") is family.of("approx")
    assert family.of("precise") is family.of("precise")
    assert family.of("precise") is not family.of("approx")
    assert (family.of("precise").name, family.of("precise").producer) == ("matches", "precise")
