import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from turnout.plugins.gang.books import NOBODY, Books, Held


def test_a_gang_takes_all_of_its_places_or_none() -> None:
    books = Books(1, 30.0)
    assert books.reserve(["a", "b"], 0.0) is not None
    assert books.reserve(["b", "c"], 0.0) is None
    assert books.has_room("c")
    assert books.held() == Held(2, 0)


def test_an_endpoint_is_in_as_many_gangs_as_it_has_slots() -> None:
    books = Books(2, 30.0)
    first = books.reserve(["a"], 0.0)
    assert books.reserve(["a"], 0.0) is not None
    assert not books.has_room("a")
    assert books.reserve(["a"], 0.0) is None
    assert first is not None
    assert books.has_room("a", own=first)
    books.release(first)
    assert books.has_room("a")


def test_a_booking_replaces_what_was_reserved_and_lasts() -> None:
    books = Books(1, 30.0)
    own = books.reserve(["a", "b"], 0.0)
    assert own is not None
    booked = books.book(["b", "c"], own)
    assert [books.has_room(name) for name in "abc"] == [True, False, False]
    assert books.held() == Held(0, 2)
    books.expire(1e9)
    assert not books.has_room("b")
    for _ in range(2):
        books.release(booked)
    assert books.held() == Held(0, 0)


def test_what_is_not_free_is_not_booked() -> None:
    books = Books(1, 30.0)
    books.book(["a"])
    own = books.reserve(["b"], 0.0)
    assert own is not None
    with pytest.raises(ValueError, match="a has no place left"):
        books.book(["b", "a"], own)
    assert not books.has_room("b")


def test_a_reservation_ends_by_itself_and_no_earlier() -> None:
    books = Books(1, 30.0)
    own = books.reserve(["a"], 1.0)
    assert own is not None
    books.reserve(["b"], 2.0)
    books.expire(30.9)
    assert not books.has_room("a")
    books.expire(31.0)
    assert [books.has_room("a"), books.has_room("b"), books.expired] == [True, False, 1]
    assert books.reserve(["a"], 31.0) is not None
    assert not books.has_room("a", own)


def test_an_endpoint_that_comes_again_has_all_its_places() -> None:
    books = Books(1, 30.0)
    own = books.book(["a", "b"])
    books.forget("a")
    assert books.held() == Held(0, 1)
    second = books.book(["a"])
    books.release(own)  # gives back nothing of the endpoint that is there now
    assert not books.has_room("a")
    books.release(second)
    assert books.has_room("a")


def test_whoever_kept_an_answer_sees_that_something_changed() -> None:
    books = Books(1, 30.0)
    versions = [books.version]
    own = books.reserve(["a"], 0.0)
    versions.append(books.version)
    books.release(NOBODY if own is None else own)
    versions.append(books.version)
    books.release(NOBODY)
    assert len(set(versions)) == 3
    assert books.version == versions[-1]


NAMES = st.sets(st.sampled_from("abcde"), min_size=1, max_size=3).map(sorted)


class Ledger(RuleBasedStateMachine):
    """Gangs come, are dispatched, end and are forgotten, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.books = Books(2, 30.0)
        self.reserved: dict[int, tuple[float, list[str]]] = {}
        self.booked: dict[int, list[str]] = {}

    @rule(names=NAMES)
    def reserve(self, names: list[str]) -> None:
        room = all(self.taken(name) < 2 for name in names)
        number = self.books.reserve(names, self.now)
        assert (number is not None) == room
        if number is not None:
            self.reserved[number] = (self.now, names)

    @precondition(lambda self: self.reserved)
    @rule(names=NAMES, data=st.data())
    def book(self, names: list[str], data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.reserved)))
        own = self.reserved[number][1]
        if all(self.taken(name) - (name in own) < 2 for name in names):
            del self.reserved[number]
            self.booked[self.books.book(names, number)] = names
        else:
            with pytest.raises(ValueError, match="has no place left"):
                self.books.book(names, number)

    @precondition(lambda self: self.reserved or self.booked)
    @rule(data=st.data(), twice=st.booleans())
    def release(self, data: st.DataObject, twice: bool) -> None:
        number = data.draw(st.sampled_from(sorted({*self.reserved, *self.booked})))
        for _ in range(1 + twice):
            self.books.release(number)
        self.reserved.pop(number, None)
        self.booked.pop(number, None)

    @rule(name=st.sampled_from("abcde"))
    def leave(self, name: str) -> None:
        self.books.forget(name)
        for names in (*(each[1] for each in self.reserved.values()), *self.booked.values()):
            if name in names:
                names.remove(name)

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.books.expire(self.now)
        self.reserved = {number: each for number, each in self.reserved.items() if self.now - each[0] < 30.0}

    def taken(self, name: str) -> int:
        held = [*(names for _, names in self.reserved.values()), *self.booked.values()]
        return sum(name in names for names in held)

    @invariant()
    def the_books_are_right(self) -> None:
        for name in "abcde":
            assert self.taken(name) <= 2
            assert self.books.has_room(name) == (self.taken(name) < 2)
        reserved = sum(len(names) for _, names in self.reserved.values())
        assert self.books.held() == Held(reserved, sum(map(len, self.booked.values())))

    def teardown(self) -> None:
        for number in (*self.reserved, *self.booked):
            self.books.release(number)
        assert (self.books._held, self.books._gangs, self.books._ends) == ({}, {}, {})


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
