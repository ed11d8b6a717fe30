from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import CounterReading
from turnout.plugins.token_fairness.tenant_totals import TenantTotals


def charged(totals: TenantTotals) -> dict[str, float]:
    return {
        reading.labels["fairness_id"]: reading.value
        for reading in totals.readings()
        if isinstance(reading, CounterReading) and reading.name == "token_fairness_charged_tokens_total"
    }


def corrected(totals: TenantTotals) -> dict[tuple[str, str], float]:
    return {
        (reading.labels["fairness_id"], reading.labels["direction"]): reading.value
        for reading in totals.readings()
        if isinstance(reading, CounterReading) and reading.name == "token_fairness_corrected_tokens_total"
    }


def test_charges_and_corrections_by_tenant() -> None:
    totals = TenantTotals()
    totals.charge("a", 100.0)
    totals.charge("a", 50.0)
    totals.correct("a", 7.0)
    totals.correct("a", -30.0)
    assert charged(totals) == {"a": 150.0, "other": 0.0}
    assert corrected(totals) == {
        ("a", "added"): 7.0,
        ("a", "given_back"): 30.0,
        ("other", "added"): 0.0,
        ("other", "given_back"): 0.0,
    }


def test_small_tenants_share_a_line() -> None:
    totals = TenantTotals(max_lines=2)
    totals.charge("a", 1000.0)
    totals.charge("b", 500.0)
    for number in range(4):
        totals.charge(f"small {number}", 100.0)
    totals.correct("small 1", 9.0)
    assert charged(totals) == {"a": 1000.0, "b": 500.0, "other": 400.0}
    assert corrected(totals)[("other", "added")] == 9.0


def test_a_tenant_that_grows_takes_the_place_of_the_smallest() -> None:
    totals = TenantTotals(max_lines=2)
    totals.charge("a", 1000.0)
    totals.charge("b", 500.0)
    totals.correct("b", -20.0)
    totals.charge("c", 300.0)
    totals.charge("c", 400.0)
    assert charged(totals) == {"a": 1000.0, "c": 400.0, "other": 800.0}
    assert corrected(totals)[("other", "given_back")] == 20.0


def test_ids_that_cannot_be_told_apart_on_the_page_have_no_line() -> None:
    totals = TenantTotals()
    for tenant in ("a\x00", "a\x01", "\udcff", "other"):
        totals.charge(tenant, 10.0)
    assert charged(totals) == {"other": 40.0}


@given(charges=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 50)), max_size=300))
def test_lines_are_few_none_is_lost_and_that_of_all_others_never_falls(charges: list[tuple[int, int]]) -> None:
    totals = TenantTotals(max_lines=3)
    others, total = 0.0, 0.0
    for tenant, tokens in charges:
        totals.charge(str(tenant), float(tokens))
        total += tokens
        shown = charged(totals)
        assert len(shown) <= 4
        assert sum(shown.values()) == total
        assert shown["other"] >= others
        others = shown["other"]
