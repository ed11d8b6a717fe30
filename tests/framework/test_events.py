from turnout.framework import Announce, Event, EventSource


class Bell:
    def announce_to(self, announce: Announce) -> None:
        self.announce = announce


def test_a_plugin_with_the_method_is_a_source_of_events() -> None:
    assert isinstance(Bell(), EventSource)
    assert not isinstance(object(), EventSource)


def test_what_is_announced_is_told_as_it_is() -> None:
    heard: list[Event] = []
    bell = Bell()
    bell.announce_to(heard.append)
    bell.announce(Event("rang", 3.0, {"times": 2}))
    assert heard == [Event("rang", 3.0, {"times": 2})]
