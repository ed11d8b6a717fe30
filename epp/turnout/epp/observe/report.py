"""An explained decision as tables that a person reads in a terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from turnout.epp.observe.decisions import StoredDecision, StoredEndpoint, StoredProfile
from turnout.framework import FilterRecord, WaitRecord

MAX_ROWS = 20
MAX_NAMES = 6


def render_decision(decision: StoredDecision) -> RenderableType:
    """For each profile: every filter's verdict, a table of weighted scores, the pick and its margin.

    A table has the first pick, then the candidates by falling total, dropped ones last; 20 rows at most. Its
    columns: waiting and running requests, KV-cache utilization, requests sent that have not ended, the age of
    the metrics, and each scorer's weighted score. ``->`` is the pick, ``+`` a fallback, ``x`` a dropped one.
    """
    # Text and not markup: names and ids may contain brackets.
    head = Text.assemble(
        ("Request ", "bold"),
        decision.request_id,
        ("  model ", "bold"),
        _model(decision),
        ("  at ", "bold"),
        f"{decision.decided_at:%Y-%m-%d %H:%M:%S} UTC",
    )
    parts: list[RenderableType] = [head]
    if decision.wait is not None:
        parts.append(Text(_wait(decision.wait)))
    parts += [Text(f"- {reason}") for reason in decision.reasons]
    for profile in decision.profiles:
        parts += [Text(), *_profile(profile, decision.endpoints)]
    if not decision.profiles:
        parts.append(Text("No profile ran."))
    return Group(*parts)


def _wait(wait: WaitRecord) -> str:
    level = f" ({wait.level})" if wait.level else ""
    counted = f", counted as {wait.effective_priority}" if wait.effective_priority != wait.priority else ""
    overdue = ", overdue" if wait.overdue else ""
    waited = f"Waited {wait.seconds:.3f} s with priority {wait.priority}{level}{counted}{overdue}"
    return f"{waited} in flow {wait.fairness_id}; pool {wait.saturation:.0%} full; {wait.reason}"


def _model(decision: StoredDecision) -> str:
    if decision.target_model in ("", decision.model):
        return decision.model or "-"
    return f"{decision.model} -> {decision.target_model}"


def _profile(profile: StoredProfile, endpoints: dict[str, StoredEndpoint]) -> list[RenderableType]:
    title = f"Profile {profile.profile}: {_count(len(profile.candidates), 'candidate')}"
    parts: list[RenderableType] = [Text(title, style="bold")]
    parts += [Text(f"  filter {_verdict(stored)}") for stored in profile.filters]
    rows = _ordered(profile)
    if rows:
        parts += [Text(), _table(profile, endpoints, rows[:MAX_ROWS]), Text()]
    if len(rows) > MAX_ROWS:
        parts.append(Text(f"  and {len(rows) - MAX_ROWS} more"))
    parts.append(Text(_outcome(profile), style="red" if profile.problem else "green"))
    return parts


def _verdict(stored: FilterRecord) -> str:
    if not stored.dropped:
        return f"{stored.filter}: kept all {len(stored.kept)}"
    dropped = f"dropped {len(stored.dropped)} ({_names(stored.dropped)})"
    return f"{stored.filter}: kept {len(stored.kept)}, {dropped}"


def _ordered(profile: StoredProfile) -> list[str]:
    first = profile.picked[:1]
    survivors = sorted(profile.totals, key=lambda name: (name not in first, -(profile.totals[name] or 0.0)))
    return [*survivors, *(name for name in profile.candidates if name not in profile.totals)]


def _table(profile: StoredProfile, endpoints: dict[str, StoredEndpoint], rows: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("endpoint", no_wrap=True)
    for title in ("wait", "run", "KV", "sent", "age"):
        table.add_column(title, justify="right", no_wrap=True)
    for scorer in profile.scorers:
        # Words wrap better than hyphens, so that six scorers fit a narrow terminal.
        words = scorer.scorer.removesuffix("-scorer").replace("-", " ")
        table.add_column(Text(f"{words} x{scorer.weight:g}"), justify="right", overflow="fold")
    table.add_column("total", justify="right", no_wrap=True)
    shared = _shared_namespace(profile.candidates)
    for name in rows:
        scores = [_number(scorer.weighted.get(name)) for scorer in profile.scorers]
        known = [_mark(profile, name), name.removeprefix(shared), *_metrics(endpoints.get(name))]
        style = "bold green" if name in profile.picked[:1] else ""
        table.add_row(*map(Text, (*known, *scores, _number(profile.totals.get(name)))), style=style)
    return table


def _shared_namespace(names: Sequence[str]) -> str:
    """What every name starts with up to its last slash, if that is the same for all."""
    namespaces = {name[: name.rfind("/") + 1] for name in names}
    return namespaces.pop() if len(namespaces) == 1 else ""


def _mark(profile: StoredProfile, name: str) -> str:
    if name in profile.picked[:1]:
        return "->"
    if name in profile.picked:
        return "+"
    return "" if name in profile.totals or not profile.picker else "x"


def _metrics(endpoint: StoredEndpoint | None) -> list[str]:
    if endpoint is None:
        return ["-"] * 5
    age = endpoint.metrics_age_seconds
    return [
        str(endpoint.waiting_queue_size),
        str(endpoint.running_requests),
        f"{endpoint.kv_cache_utilization:.0%}",
        str(endpoint.in_flight),
        "-" if age is None else _age(age),
    ]


def _age(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s"


def _outcome(profile: StoredProfile) -> str:
    if profile.problem:
        return f"Nothing picked: {profile.problem}."
    picked = f"Picked {profile.picked[0]} by {profile.picker}"
    if profile.runner_up is None:
        return f"{picked}; it was the only one left."
    if profile.margin is None:
        return f"{picked}; runner-up {profile.runner_up}."
    if profile.margin == 0.0:
        return f"{picked}; {profile.runner_up} has the same total."
    relation = "ahead of" if profile.margin > 0.0 else "behind"
    return f"{picked}, {abs(profile.margin):.3f} {relation} {profile.runner_up}."


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMES])
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
