"""Leases: whether a contract is one, and the right-of-use asset and liability if it is.

The reading follows IFRS 16 [1]_ and ASC 842 [2]_ from facts that the user states. It prepares a
talk with the auditor and is not accounting advice.

.. [1] IFRS 16 Leases: B9 to B31 (identified asset, substitution, control), 5 and B34 (short
       term), 26 and 36 (liability), 31 (depreciation).
.. [2] FASB ASC 842: 842-10-15-3 to 15-27 (same tests), 842-10-25-2 and 842-10-55-2 (finance
       lease; 75 % and 90 % as a reasonable reading of "major part" and "substantially all"),
       842-20-25-2 (short term), 842-20-25-6 (single straight-line cost of operating leases).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from planner.finance.metrics import discount_factors, monthly_rate

Array = NDArray[np.float64]
Standard = Literal["ifrs_16", "asc_842"]
Treatment = Literal["service", "short_term", "operating", "finance"]

DISCLAIMER = "Reading of stated facts, not accounting advice; confirm it with the auditor."
SHORT_TERM_MONTHS = 12
MAJOR_PART_FRAC = 0.75
SUBSTANTIALLY_ALL_FRAC = 0.90


@dataclass(frozen=True)
class LeaseFacts:
    """What the contract says and the parties can do, as an accountant would ask."""

    identified_asset: bool
    """Named machines (serial numbers, a cage), not capacity of a pool."""
    obtains_substantially_all_output: bool
    """The customer gets substantially all of the machines' use."""
    directs_use: bool
    """The customer decides how and for what the machines are used."""
    term_months: float
    """Non-cancellable term with the extensions that are reasonably certain."""
    supplier_may_substitute: bool | None = False
    """The supplier can in practice swap machines and gains by it. None: cannot tell, which
    counts as no (IFRS 16 B19, ASC 842-10-15-15)."""
    short_term_elected: bool = True
    """The company takes the exemption of leases of 12 months or less for this kind of asset."""
    purchase_option: bool = False
    """The contract lets the customer buy the machines."""
    purchase_certain: bool = False
    """It is reasonably certain that the customer buys them, or they pass over at the end."""
    economic_life_months: float | None = None
    """Life of the machines from the start; ASC 842 compares the term with it."""
    payments_of_fair_value_frac: float | None = None
    """Present value of payments / fair value of the machines; ASC 842 asks for 90 %."""
    specialized: bool = False
    """Of no other use to the supplier at the end of the term."""


@dataclass(frozen=True)
class Classification:
    """A treatment and why, in words."""

    treatment: Treatment
    reason: str
    disclaimer: str = DISCLAIMER

    @property
    def on_balance_sheet(self) -> bool:
        """Whether a right-of-use asset and a liability are recognized."""
        return self.treatment in ("operating", "finance")


def classify(facts: LeaseFacts, *, standard: Standard) -> Classification:
    """Treatment of a contract under a standard; `finance` is IFRS 16's only kind on the books.

    Examples
    --------
    >>> classify(
    ...     LeaseFacts(
    ...         identified_asset=False,
    ...         obtains_substantially_all_output=True,
    ...         directs_use=True,
    ...         term_months=36,
    ...     ),
    ...     standard="ifrs_16",
    ... ).treatment
    'service'
    """
    why_not = _no_lease(facts)
    if why_not:
        return Classification("service", f"A service: {why_not}. Paid amounts are expense.")
    if _is_short(facts, standard):
        return Classification(
            "short_term",
            f"A lease of {facts.term_months:g} months under the elected exemption of"
            f" {SHORT_TERM_MONTHS} months or less: straight-line expense, nothing on the"
            " balance sheet.",
        )
    if standard == "ifrs_16":
        return Classification(
            "finance",
            "A lease: IFRS 16 has one kind for lessees, depreciation of the right of use plus"
            " interest.",
        )
    return _asc_842_kind(facts)


def read(
    *,
    standard: Standard,
    dedicated: bool,
    term_months: float,
    short_term_elected: bool = True,
    economic_life_months: float | None = None,
) -> Classification:
    """Treatment of a commitment from what a scenario states of it.

    `dedicated`: the contract names the machines, the customer gets and directs their whole use, and
    the supplier may not swap them; else capacity comes from a pool.

    Examples
    --------
    >>> read(standard="asc_842", dedicated=True, term_months=36).treatment
    'operating'
    >>> read(standard="asc_842", dedicated=True, term_months=36, economic_life_months=48).treatment
    'finance'
    """
    facts = LeaseFacts(
        identified_asset=dedicated,
        obtains_substantially_all_output=dedicated,
        directs_use=dedicated,
        term_months=term_months,
        short_term_elected=short_term_elected,
        economic_life_months=economic_life_months,
    )
    return classify(facts, standard=standard)


def _no_lease(facts: LeaseFacts) -> str:
    """Why the contract is no lease; empty if it is one."""
    if not facts.identified_asset:
        return "no identified asset, capacity comes from a pool"
    if facts.supplier_may_substitute:
        return "the supplier has a substantive right to substitute the asset"
    if not facts.obtains_substantially_all_output:
        return "the customer does not get substantially all of the asset's use"
    if not facts.directs_use:
        return "the customer does not decide how and for what the asset is used"
    return ""


def _is_short(facts: LeaseFacts, standard: Standard) -> bool:
    """IFRS 16 bars any purchase option, ASC 842 only one that is reasonably certain."""
    buys = facts.purchase_certain or (standard == "ifrs_16" and facts.purchase_option)
    return facts.short_term_elected and facts.term_months <= SHORT_TERM_MONTHS and not buys


def _asc_842_kind(facts: LeaseFacts) -> Classification:
    life, value = facts.economic_life_months, facts.payments_of_fair_value_frac
    met = [
        words
        for holds, words in (
            (facts.purchase_certain, "ownership passes over or purchase is certain"),
            (
                life is not None and facts.term_months >= MAJOR_PART_FRAC * life,
                f"the term is {MAJOR_PART_FRAC:.0%} or more of the economic life",
            ),
            (
                value is not None and value >= SUBSTANTIALLY_ALL_FRAC,
                f"payments are worth {SUBSTANTIALLY_ALL_FRAC:.0%} or more of the fair value",
            ),
            (facts.specialized, "the asset has no other use to the supplier"),
        )
        if holds
    ]
    if met:
        return Classification("finance", f"A finance lease: {'; '.join(met)}.")
    unknown = [
        name
        for name, given in (("economic life", life), ("share of fair value", value))
        if given is None
    ]
    rest = f" Not stated and not tested: {', '.join(unknown)}." if unknown else ""
    return Classification("operating", f"An operating lease: no finance criterion is met.{rest}")


@dataclass(frozen=True)
class LeaseSchedule:
    """Months of a lease on the books, arrays (months,) in the unit of the payments.

    `liability` and `asset` are balances at month ends, `initial_liability` and `initial_asset`
    those at commencement.
    """

    initial_liability: float
    initial_asset: float
    payment: Array
    interest: Array
    liability: Array
    amortization: Array
    """Of the right-of-use asset."""
    asset: Array
    expense: Array
    """In profit and loss: interest plus amortization; operating leases show it as one cost."""


def lease_schedule(
    payments: ArrayLike,
    *,
    borrowing_rate_per_year: float,
    treatment: Literal["operating", "finance"],
    in_advance: bool = True,
    prepaid: float = 0.0,
) -> LeaseSchedule:
    r"""Right-of-use schedule by month; total expense equals total payments.

    The liability is the present value of what remains to be paid at the incremental borrowing
    rate, and grows by interest: :math:`L_m = L_{m-1} - p_m + i_m`. The asset starts at the
    liability plus `prepaid`. A finance lease (and any lease under IFRS 16) amortizes it evenly
    over the term, so that expense falls with the interest; an operating lease of ASC 842 expenses
    the same amount every month and amortizes what this leaves after interest.

    Parameters
    ----------
    payments : due in each month of the term, shape (months,).
    borrowing_rate_per_year : effective yearly; `monthly_rate` turns it into a month's.
    in_advance : payments fall at the starts of months, else at their ends.
    prepaid : paid at or before commencement, beside the payments (a deposit that is used up,
        initial direct costs).

    Raises
    ------
    ValueError : no payments, a negative one, or another treatment.

    Examples
    --------
    Two payments of 100 at month ends, 25 % a month: worth 80 + 64 = 144, interest 36 and 20.

    >>> lease = lease_schedule(
    ...     [100, 100],
    ...     borrowing_rate_per_year=1.25**12 - 1,
    ...     treatment="finance",
    ...     in_advance=False,
    ... )
    >>> round(lease.initial_liability, 9), lease.interest.round(9).tolist()
    (144.0, [36.0, 20.0])
    >>> lease.expense.round(9).tolist()  # interest + 144 / 2
    [108.0, 92.0]
    """
    paid = np.asarray(payments, float)
    if not len(paid) or not np.all(paid >= 0):
        raise ValueError("a lease has payments of 0 or more, one a month of its term")
    if treatment not in ("operating", "finance"):
        raise ValueError(f"a schedule is of an operating or a finance lease, not {treatment!r}")
    rate = monthly_rate(borrowing_rate_per_year)
    due = discount_factors(rate=rate, count=len(paid), first=0.0 if in_advance else 1.0)
    # Worth of what is still to pay at each month's end, from the payments themselves: a balance
    # that was carried forward month by month would end at rounding errors instead of 0.
    later = np.append(np.cumsum((paid * due)[::-1])[::-1], 0.0)
    worth = later * (1 + rate) ** np.arange(len(paid) + 1)
    interest = np.diff(worth) + paid
    asset = worth[0] + prepaid
    even = (paid.sum() + prepaid) / len(paid) if treatment == "operating" else asset / len(paid)
    amortization = even - interest if treatment == "operating" else np.full(len(paid), even)
    return LeaseSchedule(
        initial_liability=float(worth[0]),
        initial_asset=float(asset),
        payment=paid,
        interest=interest,
        liability=worth[1:],
        amortization=amortization,
        asset=asset - np.cumsum(amortization),
        expense=interest + amortization,
    )
