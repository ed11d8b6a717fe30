"""The accounts of tenants, of bounded number.

Theory of operation. A tenant has an account of its own as long as anything counts there. Where all are taken, further
tenants share one, which has the budget of one tenant; and as long as anything counts there, new tenants go there, too.
So all that counts of a tenant is in one account. Who makes up names gets a budget for each while there is room, and one
for all that come after: what can be spent is bounded by the number of accounts.
"""

from collections.abc import Iterator, Mapping

from turnout.plugins.cost.spending import SLICE_SECONDS, Spending

SHARED = "other"


class TenantAccounts:
    """Accounts by tenant. ``named`` have limits of their own and accounts that stay; ``limit`` is everybody else's."""

    def __init__(self, limit: int | None, named: Mapping[str, int], max_tenants: int) -> None:
        self._limit = limit
        self._named = {tenant: Spending(own) for tenant, own in named.items()}
        self._max_tenants = max_tenants
        self._own: dict[str, Spending] = {}
        self._shared = Spending(limit)
        self._tidied_at = -SLICE_SECONDS

    def of(self, tenant: str, now: float) -> Spending | None:
        """The tenant's account; None if it has no budget. Does not make one that stays until it is ``taken``."""
        account = self._named.get(tenant)
        if account is not None or self._limit is None:
            return account
        account = self._own.get(tenant)
        if account is not None:
            return account
        return Spending(self._limit) if self._has_room(now) else self._shared

    def taken(self, tenant: str, account: Spending) -> None:
        """A reservation is made in the account that ``of`` gave a moment ago."""
        if self._limit is not None and account is not self._shared and tenant not in self._named:
            self._own[tenant] = account

    def label(self, tenant: str, account: Spending) -> str:
        """The tenant's name, or that of those who share."""
        return SHARED if account is self._shared else tenant

    @property
    def is_shared(self) -> bool:
        """Whether tenants have to share an account."""
        return bool(self._shared.spent or self._shared.reserved)

    @property
    def shared(self) -> Spending | None:
        """The account of those who share; None without a limit that they could share."""
        return None if self._limit is None else self._shared

    def accounts(self) -> Iterator[tuple[str, Spending]]:
        """The accounts of one tenant each, those with limits of their own first."""
        yield from self._named.items()
        yield from self._own.items()

    def _has_room(self, now: float) -> bool:
        if not self._shared.is_empty(now):
            return False
        if len(self._own) >= self._max_tenants and now - self._tidied_at >= SLICE_SECONDS:
            self._tidied_at = now
            self._own = {tenant: account for tenant, account in self._own.items() if not account.is_empty(now)}
        return len(self._own) < self._max_tenants
