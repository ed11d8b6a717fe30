from turnout.plugins.cost.spending import Spending
from turnout.plugins.cost.tenants import TenantAccounts


def spend(tenants: TenantAccounts, tenant: str, amount: int, now: float = 0.0) -> Spending:
    account = tenants.of(tenant, now)
    assert account is not None
    tenants.taken(tenant, account)
    account.reserve(amount)
    account.settle(amount, amount, now)
    return account


def test_each_tenant_has_its_own_account() -> None:
    tenants = TenantAccounts(10, {}, 5)
    a, b = spend(tenants, "a", 4), spend(tenants, "b", 1)
    assert (a.spent, b.spent) == (4, 1)
    assert tenants.of("a", 0.0) is a
    assert tenants.label("a", a) == "a"
    assert not tenants.is_shared


def test_a_tenant_by_name_has_its_own_limit_and_others_may_have_none() -> None:
    tenants = TenantAccounts(None, {"research": 50}, 5)
    research = tenants.of("research", 0.0)
    assert research is not None
    assert research.limit == 50
    assert tenants.of("anybody", 0.0) is None


def test_asking_makes_no_account() -> None:
    tenants = TenantAccounts(10, {}, 2)
    for number in range(10):
        tenants.of(f"t{number}", 0.0)
    assert list(tenants.accounts()) == []


def test_tenants_beyond_the_bound_share_one_budget() -> None:
    tenants = TenantAccounts(10, {}, 2)
    for tenant in "abcd":
        spend(tenants, tenant, 4)
    c, d = tenants.of("c", 0.0), tenants.of("d", 0.0)
    assert c is d
    assert c is not None
    assert (c.spent, tenants.label("c", c), tenants.is_shared) == (8, "other", True)


def test_who_shared_gets_no_account_of_its_own_before_that_is_forgotten() -> None:
    tenants = TenantAccounts(10, {}, 1)
    spend(tenants, "a", 4, 0.0)
    shared = spend(tenants, "b", 4, 1800.0)
    assert tenants.of("b", 3700.0) is shared, "a's account is free by now, and what b spent still counts"
    assert tenants.of("b", 5460.0) is not shared


def test_accounts_in_which_nothing_counts_make_room() -> None:
    tenants = TenantAccounts(10, {}, 2)
    for number in range(100):
        spend(tenants, f"t{number}", 1, number * 4000.0)
    assert len(list(tenants.accounts())) <= 2
