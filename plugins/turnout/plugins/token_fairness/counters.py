"""What each tenant of one band got, in tokens per unit of its weight, and who is next by that.

Theory of operation. Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996), with the costs and the lift of a
virtual token counter (Sheng et al., OSDI 2024, arXiv 2401.00588). A tenant's counter is what it was charged, divided by
its weight. While its flow waits, the flow's tag is the counter as it was when the flow got its head; the lowest tag
goes first, or with a quantum Q above 0 the lowest number of whole quanta in it. The level is the highest tag of what
was dispatched, cut to whole quanta. A tenant that had nothing waiting is lifted to the level when it comes back, so it
cannot save up what it did not use.

A request is charged its estimated cost when it is dispatched, and the difference to its real cost at its end. What is
given back to a flow that waits is its credit: the flow is not lifted above the level less the credit, as it waited
behind others for what it did not use. Credit ends when the flow has nothing waiting.

The bound. Let l_f be the largest real cost of a request of f, and U_f(t) the real less the estimated costs of its
requests in flight at t, both divided by the weight of f; let e_f be the difference between the largest and the smallest
value of U_f. Let W_f be the real cost of the requests of f dispatched in an interval, divided by the weight of f. Then
in every interval in which both f and g have requests waiting,

    |W_f - W_g| <= l_f + l_g + e_f + e_g + 2 Q

as long as requests leave in the order of rank, none that waits is withdrawn, and nobody is forgotten for want of room.
Estimates that are exact, or that are never corrected and count as the cost, give e = 0; with Q = 0 that is the bound of
start-time fair queueing. Errors of other tenants do not come in. Where an e is not known: it is at most twice the
largest cost, real or estimated, that the tenant has in flight at once.

Proof. Let C_f = counter_f + U_f, the counter if every request had been charged its real cost at once. A correction does
not change C_f, a dispatch adds the real cost. So a tag that is taken at time a is C_f(a) - U_f(a), and C_f stays as it
is until the next dispatch of f, however late corrections come: a tag that the counter has left behind is wrong by no
more than what was in flight when it was taken. This is why a rank may hold until the head changes.
1. While f waits, whoever is dispatched has no more whole quanta in its tag than f. So the level is at most the largest
   tag that f has had in this stretch of waiting, taken at a, say; the first one is not below the level of its time.
   Hence the tag of f that was taken at b is at least level - (U_f(b) - U_f(a)). What was given back since a is credit,
   so f is not lifted within the stretch, and C_f changes by dispatches only.
2. When g is dispatched with a tag taken at a, the level rises above that tag - Q, if it was not there. The tag that g
   takes next, at b, is that tag + the real cost + U_g(a) - U_g(b), or the level. So a tag of g is at most
   level + Q + l_g + U_g(a) - U_g(b) with some a before b, as the level does not fall.
3. Let t be the begin of the interval and s the last dispatch of f in it; without one, W_f = 0. The tag by which f goes
   at s is below that of g + Q, and it is the tag of t + W_f - the last cost - the change of U_f between the times at
   which both were taken; the tag of g at s is that of t + W_g until s - the change of U_g. So W_f - W_g is at most
   l_f + Q + (tag of g - tag of f at t) + the change of U_f - the change of U_g. Put in 1 and 2 for the tags at t: what
   is there of U_f adds up to one difference of two values of U_f, and so for U_g; each is at most e. By symmetry it
   holds the other way round.

What is kept. A counter that is not above the level, without credit and with nothing in flight, is what a tenant that is
not known would get (the level, and the level only rises): it is dropped, and nothing changes. If more tenants than
allowed are left, those behind the level are forgotten first, and lose their credit and late corrections; then those
least above it, for which the level is raised, so that nobody's debt is forgiven but what is left of a quantum. The
bound does not hold across that.
"""

from collections import OrderedDict
from collections.abc import KeysView
from heapq import heappop, heappush
from itertools import count


class Account:
    """A tenant in one band; fields are those of ``Counters``."""

    __slots__ = ("ahead", "counter", "credit", "in_flight", "known", "seen_at", "tag", "tenant", "waiting")

    def __init__(self, tenant: str, counter: float) -> None:
        self.tenant = tenant
        self.counter = counter
        self.tag = counter
        self.credit = 0.0
        self.in_flight = 0
        self.seen_at = float("-inf")
        """When a head of the flow was ranked or dispatched last."""
        self.waiting = False
        """Ranked since its last dispatch. Stays so when all its requests were withdrawn."""
        self.known = True
        self.ahead = False
        """It has a place in the heap of those above the level."""


class Counters:
    """The tenants of one band. Amounts are in tokens divided by weight, times in seconds.

    ``level`` is where the band begins; ``quantum`` is in tokens per unit of weight, 0 compares tags as they are.
    """

    def __init__(self, level: float = 0.0, quantum: int = 0) -> None:
        self._quantum = quantum
        self._accounts: dict[str, Account] = {}
        # Those above the level, by a counter that may be out of date; each has one place.
        self._ahead: list[tuple[float, int, Account]] = []
        self._behind: OrderedDict[str, Account] = OrderedDict()
        self._numbers = count()
        self._last: Account | None = None
        self.level = self._whole(level)

    def __len__(self) -> int:
        return len(self._accounts)

    @property
    def tenants(self) -> KeysView[str]:
        """Those that are known: ahead of the level, with requests in flight, or with credit."""
        return self._accounts.keys()

    @property
    def top(self) -> float:
        """The highest counter; looks at all."""
        return max((account.counter for account in self._accounts.values()), default=self.level)

    def rank(self, tenant: str, arrived_at: float, now: float, *, others_wait: bool) -> float:
        """The tag of a flow that got a head, which arrived at that time; others may wait behind the head."""
        account = self._accounts.get(tenant)
        if account is None:
            return self.level
        # A flow that had nothing waiting begins with a head that came later than all that is known of it, alone.
        if not others_wait and arrived_at >= account.seen_at:
            account.credit = 0.0
        self._lift(account)
        account.tag = account.counter
        account.waiting = True
        account.seen_at = now
        self._review(account)
        return account.tag

    def charge(self, tenant: str, amount: float, now: float) -> Account:
        """A request of the tenant is dispatched. Ends in one ``correct``."""
        account = self._accounts.get(tenant) or self._open(tenant)
        self._lift(account)
        tag = account.tag if account.waiting else account.counter
        account.counter += amount
        account.in_flight += 1
        account.waiting = False
        account.seen_at = now
        self._review(account)
        self._raise_level(tag)
        self._succeed(account)
        return account

    def correct(self, account: Account, amount: float) -> None:
        """A charged request is over; what it cost differs from what was charged by the amount."""
        account.in_flight -= 1
        account.counter += amount
        if account.waiting:
            # The largest sum of what was given back, up to the end, whenever it began.
            account.credit = max(0.0, account.credit - amount)
        self._review(account)

    def forget_one(self) -> None:
        """Lets go of the tenant whose loss changes least."""
        if self._behind:
            _, account = self._behind.popitem(last=False)
        else:
            account = self._least_ahead()
            self._raise_level(account.counter)
        account.known = False
        self._accounts.pop(account.tenant, None)

    def _open(self, tenant: str) -> Account:
        account = self._accounts[tenant] = Account(tenant, self.level)
        return account

    def _lift(self, account: Account) -> None:
        account.counter = max(account.counter, self.level - account.credit)

    def _whole(self, tag: float) -> float:
        return tag // self._quantum * self._quantum if self._quantum else tag

    def _raise_level(self, tag: float) -> None:
        self.level = max(self.level, self._whole(tag))
        while self._ahead and self._ahead[0][0] <= self.level:
            _, _, account = heappop(self._ahead)
            account.ahead = False
            self._review(account)

    def _succeed(self, account: Account) -> None:
        """The tenant dispatched before has nothing waiting if it was not ranked again by now."""
        last, self._last = self._last, account
        if last is not None and last is not account and not last.waiting:
            last.credit = 0.0
            self._review(last)

    def _review(self, account: Account) -> None:
        """Puts an account without a place where it belongs, or drops it."""
        if account.ahead or not account.known:
            return
        if account.counter > self.level:
            self._behind.pop(account.tenant, None)
            account.ahead = True
            heappush(self._ahead, (account.counter, next(self._numbers), account))
        elif account.in_flight or account.credit > 0.0:
            self._behind[account.tenant] = account
        else:
            self._behind.pop(account.tenant, None)
            del self._accounts[account.tenant]
            account.known = False

    def _least_ahead(self) -> Account:
        while True:
            counter, _, account = heappop(self._ahead)
            if account.counter <= counter:
                account.ahead = False
                return account
            heappush(self._ahead, (account.counter, next(self._numbers), account))
