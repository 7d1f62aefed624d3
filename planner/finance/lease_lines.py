"""Leases in the books as ledger rows: the liability, the right of use, and what a month costs.

Rows are linear in what is signed, so that one set stands for every contract of an option, whenever
it began. With a monthly borrowing rate i, a contract's payments p fall due at the starts of months;
the liability at a month's end is what remains to be paid, discounted to that day:

    liability = (liability before + value of what is signed - paid) x (1 + i)
    interest = liability x i / (1 + i)

A finance lease (IFRS 16 has no other) costs interest and the right of use, which starts at the
liability and what is paid when signed, spread evenly over the term. An operating lease of ASC 842
costs the same every month: all payments / term. Over the term either costs what is paid. Cash and
income tax do not move: tax deducts rent. `leases` reads the treatment and has the schedule of one
contract. A reading of stated facts, not accounting advice.
"""

from __future__ import annotations

from planner.finance.leases import Treatment
from planner.finance.ledger import Line
from planner.finance.offers import Assumed

INTEREST, RIGHT_OF_USE, OPERATING = "lease interest", "right of use", "operating lease"
"""Categories of book rows."""
COSTS = (INTEREST, RIGHT_OF_USE, OPERATING)
LIABILITY, ASSET = "lease liability", "right-of-use asset"
"""Categories of balances at month ends."""
RENT = "rent of leases"
"""Category of what tax deducts."""
BORROWING_RATE = ("borrowing_rate", "Borrowing rate of leases", "1/year")
GROUP = "Leases"


def on_balance_sheet(treatment: Treatment) -> bool:
    """Whether contracts are a liability and a right of use.

    Examples
    --------
    >>> on_balance_sheet("finance"), on_balance_sheet("short_term")
    (True, False)
    """
    return treatment in ("operating", "finance")


def common_lines(borrowing_rate: Assumed | None) -> list[Line]:
    """The month's rate and what an hour paid in a month is worth; None: the discount rate's."""
    rate = "discount_rate" if borrowing_rate is None else BORROWING_RATE[0]
    rows = (
        ("lease_month_rate", "Borrowing rate of a month", "1/month",
         f"(1 + {rate}) ** (1 / 12) - 1"),
        ("lease_factor", "Worth of cash at the month's start", "factor",
         "(1 + lease_month_rate) ** (1 - month)"),
        ("lease_hours_so_far", "Hours to the month's end, by their worth", "h",
         "prev + hours * lease_factor"),
    )  # fmt: skip
    return [Line(key, label, unit, "calculation", text, group=GROUP)
            for key, label, unit, text in rows]  # fmt: skip


def lines(treatment: Treatment, key: str, group: str, *, term: str, upfront: str) -> list[Line]:
    """Rows of a commitment that is a lease; none of a service or a short-term lease.

    `term` and `upfront` are names of inputs; the commitment's own rows begin with `key`.
    """
    if not on_balance_sheet(treatment):
        return []
    spread = _finance if treatment == "finance" else _operating
    interest: Line = Line(
        f"{key}_lease_interest_usd", "Interest on the lease liability", "USD",
        "book" if treatment == "finance" else "calculation",
        f"{key}_lease_liability_usd * lease_month_rate / (1 + lease_month_rate)",
        INTEREST if treatment == "finance" else "", group,
    )  # fmt: skip
    return [
        Line(
            f"{key}_rent_usd", "Rent that tax deducts", "USD", "calculation",
            f"{key}_paid_usd + {key}_amortized_usd", RENT, group,
        ),
        Line(
            f"{key}_lease_value_usd", "Lease liability of contracts signed", "USD", "calculation",
            f"{key}_signed_usd_per_h * (1 - {upfront})"
            f" * (ahead(lease_hours_so_far, {term} - 1) - lease_hours_so_far"
            " + hours * lease_factor) / lease_factor", group=group,
        ),
        Line(
            f"{key}_lease_liability_usd", "Lease liability at month end", "USD", "calculation",
            f"(prev + {key}_lease_value_usd - {key}_paid_usd) * (1 + lease_month_rate)", LIABILITY,
            group,
        ),
        interest,
        *spread(key, group, term),
    ]  # fmt: skip


def _finance(key: str, group: str, term: str) -> list[Line]:
    added = f"{key}_right_of_use_added_usd"
    return [
        Line(
            added, "Rights of use of contracts signed", "USD", "calculation",
            f"{key}_lease_value_usd + {key}_upfront_usd", group=group,
        ),
        _in_term(f"{key}_right_of_use_in_term_usd", "Rights of use within their term", added,
                 group, term),
        Line(
            f"{key}_right_of_use_used_usd", "Depreciation of rights of use", "USD", "book",
            f"{key}_right_of_use_in_term_usd / {term}", RIGHT_OF_USE, group,
        ),
        _asset(key, group, f"{added} - {key}_right_of_use_used_usd"),
    ]  # fmt: skip


def _operating(key: str, group: str, term: str) -> list[Line]:
    cost = f"{key}_lease_cost_usd"
    return [
        _in_term(f"{key}_lease_in_term_usd", "Value of leases within their term",
                 f"{key}_signed_usd", group, term),
        Line(
            cost, "Cost of the operating lease", "USD", "book",
            f"{key}_lease_in_term_usd / {term}", OPERATING, group,
        ),
        _asset(
            key, group,
            f"{key}_lease_value_usd + {key}_upfront_usd - ({cost} - {key}_lease_interest_usd)",
        ),
    ]  # fmt: skip


def _in_term(key: str, label: str, row: str, group: str, term: str) -> Line:
    return Line(key, label, "USD", "calculation", f"prev + {row} - lag({row}, {term})", group=group)


def _asset(key: str, group: str, change: str) -> Line:
    formula = f"prev + {change}"
    return Line(f"{key}_right_of_use_usd", "Right of use at month end", "USD", "calculation",
                formula, ASSET, group)  # fmt: skip
