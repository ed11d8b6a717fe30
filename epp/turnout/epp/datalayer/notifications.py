"""Tells plugins who is in the pool."""

from collections.abc import Callable, Sequence

from turnout.epp.datalayer.store import EndpointStore
from turnout.framework import EndpointWatcher, ExtensionPoint, Named, PluginError, plugin_boundary


class EndpointNotificationSource:
    """Stands for the field's source of that name: configurations list under it who hears of endpoints.

    Every plugin that can hear of them does, listed or not.
    """


class Notifications:
    """Tells watchers of every change of the pool. A watcher that fails is reported to ``failed``; others still hear."""

    def __init__(self, store: EndpointStore, failed: Callable[[PluginError], None]) -> None:
        self._store = store
        self._failed = failed
        self._watchers: Sequence[Named[EndpointWatcher]] = ()
        store.on_membership_change(self._tell_all)

    def watch(self, watchers: Sequence[Named[EndpointWatcher]]) -> None:
        """Tells these from now on, and at once those that were not told before."""
        known = {id(named.plugin) for named in self._watchers}
        self._watchers = tuple(watchers)
        for named in watchers:
            if id(named.plugin) not in known:
                self._tell(named)

    def _tell_all(self) -> None:
        for named in self._watchers:
            self._tell(named)

    def _tell(self, named: Named[EndpointWatcher]) -> None:
        try:
            with plugin_boundary(named.name, ExtensionPoint.ENDPOINT_WATCHER):
                named.plugin.endpoints_changed(self._store.snapshot())
        except PluginError as error:
            self._failed(error)
