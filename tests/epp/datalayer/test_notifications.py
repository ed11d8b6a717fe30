from collections.abc import Sequence

from turnout.epp.datalayer.notifications import Notifications
from turnout.epp.datalayer.store import EndpointStore
from turnout.framework import Endpoint, EndpointSpec, Named, PluginError

A, B = (EndpointSpec(f"default/{name}", f"10.0.0.{number}", 8000, {}) for number, name in enumerate("ab", 1))


class Listener:
    def __init__(self) -> None:
        self.heard: list[list[str]] = []

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        self.heard.append([endpoint.name for endpoint in endpoints])


class Deaf:
    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        raise RuntimeError("no ears")


def test_a_watcher_hears_of_the_pool_at_once_and_after_each_change() -> None:
    store, listener = EndpointStore(lambda: 0.0), Listener()
    notifications = Notifications(store, failed=print)
    store.replace([A])
    notifications.watch([Named(listener, "listener")])
    store.replace([A, B])
    store.replace([A, B])
    store.replace([])
    assert listener.heard == [["default/a"], ["default/a", "default/b"], []]


def test_a_watcher_that_stays_over_a_reload_is_not_told_again_and_one_that_leaves_hears_no_more() -> None:
    store, stays, leaves, comes = EndpointStore(lambda: 0.0), Listener(), Listener(), Listener()
    notifications = Notifications(store, failed=print)
    notifications.watch([Named(stays, "stays"), Named(leaves, "leaves")])
    notifications.watch([Named(stays, "stays"), Named(comes, "comes")])
    store.replace([A])
    assert stays.heard == [[], ["default/a"]]
    assert leaves.heard == [[]]
    assert comes.heard == [[], ["default/a"]]


def test_a_watcher_that_fails_is_reported_and_the_others_still_hear() -> None:
    failures: list[PluginError] = []
    listener = Listener()
    notifications = Notifications(EndpointStore(lambda: 0.0), failures.append)
    notifications.watch([Named(Deaf(), "deaf"), Named(listener, "listener")])
    assert [str(error) for error in failures] == ["plugin 'deaf' failed as EndpointWatcher: RuntimeError: no ears"]
    assert listener.heard == [[]]
