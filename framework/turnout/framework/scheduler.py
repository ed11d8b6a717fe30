"""The scheduling cycle: profile handler, profiles, result. Pure and synchronous."""

from collections.abc import Iterable, Sequence

from turnout.framework.endpoint import Endpoint
from turnout.framework.errors import ExtensionPoint, NoEndpointsError, PluginError
from turnout.framework.interfaces import ProfileHandler
from turnout.framework.profile import Named, SchedulerProfile, plugin_boundary
from turnout.framework.request import InferenceRequest
from turnout.framework.results import ProfileOutcome, ProfileResult, SchedulingResult
from turnout.framework.state import CycleState


class Scheduler:
    """Runs scheduling cycles over snapshots of endpoints. Holds no state of its own between them.

    Raises:
        ValueError: no profile, or two profiles with one name.
    """

    def __init__(
        self, profiles: Iterable[SchedulerProfile], profile_handler: ProfileHandler | Named[ProfileHandler]
    ) -> None:
        listed = tuple(profiles)
        self._profiles = {profile.name: profile for profile in listed}
        if not listed or len(self._profiles) != len(listed):
            names = ", ".join(profile.name for profile in listed) or "none"
            raise ValueError(f"there must be at least one profile, each with its own name; given: {names}")
        self._handler = profile_handler if isinstance(profile_handler, Named) else Named(profile_handler)

    @property
    def profiles(self) -> tuple[SchedulerProfile, ...]:
        """The profiles in the order given."""
        return tuple(self._profiles.values())

    @property
    def profile_handler(self) -> Named[ProfileHandler]:
        """The handler under its configured name."""
        return self._handler

    def schedule(
        self,
        request: InferenceRequest,
        state: CycleState,
        endpoints: Sequence[Endpoint],
        now: float,
    ) -> SchedulingResult:
        """Decides where the request goes; ``now`` is in seconds on the caller's monotonic clock.

        Raises:
            NoEndpointsError: nothing was left; names the profile and the filter.
            PluginError: a plugin raised or broke its contract; names it.
        """
        state.now = now
        results: dict[str, ProfileOutcome] = {}
        while names := self._next(request, state, results):
            for name in names:
                results[name] = self._run(name, request, state, endpoints, results)
        with plugin_boundary(self._handler.name, ExtensionPoint.PROCESS_RESULTS):
            decision = self._handler.plugin.process_results(request, state, results)
            if not isinstance(decision.profiles.get(decision.primary), ProfileResult):
                problem = f"its primary profile {decision.primary!r} has no result"
                raise PluginError(self._handler.name, ExtensionPoint.PROCESS_RESULTS, problem)
        return decision

    def _next(self, request: InferenceRequest, state: CycleState, results: dict[str, ProfileOutcome]) -> Sequence[str]:
        with plugin_boundary(self._handler.name, ExtensionPoint.PROFILE_HANDLER):
            # A copy, so that a handler that keeps the mapping does not see it change under it.
            # As a tuple, because an empty generator is true and would be asked for ever.
            return tuple(self._handler.plugin.pick(request, state, self._profiles.keys(), dict(results)))

    def _run(
        self,
        name: str,
        request: InferenceRequest,
        state: CycleState,
        endpoints: Sequence[Endpoint],
        results: dict[str, ProfileOutcome],
    ) -> ProfileOutcome:
        if name not in self._profiles or name in results:
            known = ", ".join(self._profiles)
            problem = "asked for twice" if name in results else f"unknown; there are: {known}"
            raise PluginError(self._handler.name, ExtensionPoint.PROFILE_HANDLER, f"profile {name!r} is {problem}")
        try:
            return self._profiles[name].run(request, state, endpoints)
        except NoEndpointsError as nothing_left:
            return nothing_left
