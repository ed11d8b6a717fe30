"""Decide which profiles run."""

from collections.abc import Collection, Mapping, Sequence

from turnout.framework import CycleState, InferenceRequest, NoEndpointsError, ProfileOutcome, SchedulingResult


class SingleProfileHandler:
    """Runs the one configured profile; its result is the decision."""

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        """The profile, once.

        Raises:
            ValueError: there is more than one profile.
        """
        if results:
            return ()
        if len(profiles) != 1:
            raise ValueError(f"a single-profile-handler needs exactly one profile, there are: {', '.join(profiles)}")
        return tuple(profiles)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        """The profile's result. Raises ``NoEndpointsError`` when the profile had no endpoint left."""
        (outcome,) = results.values()
        if isinstance(outcome, NoEndpointsError):
            raise outcome
        return SchedulingResult(outcome.profile, {outcome.profile: outcome})
