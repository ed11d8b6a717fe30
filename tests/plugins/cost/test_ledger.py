from turnout.framework import CounterReading, GaugeReading, Reading
from turnout.plugins.cost.ledger import Ledger
from turnout.plugins.cost.spending import UNITS, Spending
from turnout.plugins.cost.tenants import TenantAccounts


def by_name(readings: list[Reading]) -> dict[tuple[str, str], float]:
    found = {}
    for reading in readings:
        assert isinstance(reading, CounterReading | GaugeReading)
        found[reading.name, "/".join(reading.labels.values())] = reading.value
    return found


def test_what_was_spent_reserved_and_left_can_be_read() -> None:
    pool, tenants = Spending(100 * UNITS), TenantAccounts(10 * UNITS, {"research": 50 * UNITS}, 5)
    ledger = Ledger(pool, tenants)
    pool.reserve(7 * UNITS)
    pool.settle(3 * UNITS, 5 * UNITS, 60.0)
    ledger.settled("h100", "research", 5 * UNITS, 3 * UNITS, 60.0)
    ledger.settled("h100", "a", 1 * UNITS, 1 * UNITS, 60.0)
    ledger.refused("pool")
    assert by_name(list(ledger.readings())) == {
        ("cost_spent_total", "h100"): 6.0,
        ("cost_tenant_spent_total", "research"): 5.0,
        ("cost_tenant_spent_total", "a"): 1.0,
        ("cost_over_reservation_total", ""): 2.0,
        ("cost_budget_refusals_total", "pool"): 1.0,
        ("cost_budget_spent", "pool/"): 5.0,
        ("cost_budget_reserved", "pool/"): 4.0,
        ("cost_budget_remaining", "pool/"): 91.0,
        ("cost_budget_spent", "tenant/research"): 0.0,
        ("cost_budget_reserved", "tenant/research"): 0.0,
        ("cost_budget_remaining", "tenant/research"): 50.0,
        ("cost_budget_spent", "shared/"): 0.0,
        ("cost_budget_reserved", "shared/"): 0.0,
        ("cost_budget_remaining", "shared/"): 10.0,
    }


def test_no_series_is_there_twice_whatever_tenants_call_themselves() -> None:
    tenants = TenantAccounts(10 * UNITS, {}, 5)
    account = tenants.of("other", 0.0)
    assert account is not None
    account.reserve(1 * UNITS)
    tenants.taken("other", account)
    ledger = Ledger(Spending(), tenants)
    ledger.settled("h100", "other", 1 * UNITS, 0, 0.0)
    readings = list(ledger.readings())
    assert len(by_name(readings)) == len(readings)
    assert by_name(readings)["cost_budget_reserved", "tenant/other"] == 1.0


def test_readings_are_as_of_the_latest_time() -> None:
    pool = Spending(10 * UNITS)
    ledger = Ledger(pool, TenantAccounts(None, {}, 5))
    pool.settle(0, 4 * UNITS, 0.0)
    ledger.at(3660.0)
    ledger.at(30.0)
    assert by_name(list(ledger.readings()))["cost_budget_remaining", "pool/"] == 10.0


def test_the_number_of_labels_is_bounded() -> None:
    tenants = TenantAccounts(10, {f"n{number}": 1 for number in range(500)}, 5)
    ledger = Ledger(Spending(), tenants)
    for number in range(500):
        ledger.settled(f"v{number}", f"t{number}", 1 * UNITS, 0, 0.0)
    read = by_name(list(ledger.readings()))
    assert read["cost_spent_total", "other"] == 400.0
    assert read["cost_tenant_spent_total", "other"] == 400.0
    assert len(read) < 600
