"""Deferred tax as ledger rows: what books and tax return will still settle between them.

Liability method of IAS 12 and ASC 740: the carrying amount in the books less the tax base, times
the enacted rate, not discounted ([1]_, [2]_). The month's deferred tax is what the balance gains.
Machines differ by net book value less tax basis, leases by right of use less liability and prepaid
rent; losses carried forward are an asset as long as the horizon's later years can use them. All
balances end at 0, so that deferred tax adds up to 0 over the whole life: it moves profit and loss
between years, and neither cash nor net present cost.

.. [1] IAS 12 Income Taxes: 5 and 15 (temporary differences), 24 and 34 (deductible ones, losses),
       47 (enacted rates), 53 (no discounting).
.. [2] FASB ASC 740-10-25-2 and 740-10-30-8 (enacted rates, no discounting), 740-10-30-5 (losses).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.finance import lease_lines
from planner.finance.ledger import Line

TAX = "deferred tax"
"""Category of book rows."""
MACHINES, LEASES, LOSSES = (f"deferred tax of {x}" for x in ("machines", "leases", "losses"))
"""Categories of balances at month ends, before disposal; liabilities positive."""
BALANCES = (MACHINES, LEASES, LOSSES)
NET_BOOK = "net book value"

Rates = Mapping[str, str]
"""Rate on federal and on state differences, as formulas: names of inputs or lines above."""


def lines(given: Sequence[Line], *, key: str, rates: Rates) -> list[Line]:
    """Deferred tax of one option, of its rows with their tax; none where books and tax agree."""
    categories = {line.category: line.key for line in given}
    if NET_BOOK in categories:
        return _machines(key, given[0].group, categories[NET_BOOK], rates)
    if lease_lines.LIABILITY in categories:
        return _leases(key, given[0].group, categories, rates)
    return []


def _machines(key: str, group: str, net_book: str, rates: Rates) -> list[Line]:
    """At the end of the horizon machines are sold: books and tax have nothing left of them."""
    balance = f"{key}_deferred_liability_usd"
    terms = (f"({net_book} - {key}_{who}_basis_usd) * {rate}" for who, rate in rates.items())
    return [
        _balance(balance, " + ".join(terms), MACHINES, group),
        _tax(key, f"{balance} * (1 - last_month) - in_horizon * lag({balance}, 1)", group),
    ]


def _leases(key: str, group: str, categories: Mapping[str, str], rates: Rates) -> list[Line]:
    """Tax deducts rent: its base is what is prepaid."""
    balance, prepaid = f"{key}_deferred_liability_usd", f"{key}_prepaid_usd"
    right, owed = categories[lease_lines.ASSET], categories[lease_lines.LIABILITY]
    return [
        Line(
            prepaid, "Prepaid rent that tax has still to deduct", "USD", "calculation",
            f"prev + {key}_upfront_usd - {key}_amortized_usd", group=group,
        ),
        _balance(balance, f"({right} - {owed} - {prepaid}) * ({' + '.join(rates.values())})",
                 LEASES, group),
        _tax(key, f"{balance} - lag({balance}, 1)", group),
    ]  # fmt: skip


def of_losses(group: str, rates: Mapping[str, str]) -> list[Line]:
    """Losses that wait for later years; what waits when the horizon ends is lost.

    `rates` by line of the losses.
    """
    balance = "company_deferred_liability_usd"
    terms = " + ".join(f"{losses} * {rate}" for losses, rate in rates.items())
    formula = f"-losses_carried * in_horizon * (1 - last_month) * ({terms})"
    return [
        _balance(balance, formula, LOSSES, group),
        _tax("company", f"{balance} - lag({balance}, 1)", group),
    ]


def _balance(key: str, formula: str, category: str, group: str) -> Line:
    label = "Deferred tax liability at month end (asset negative)"
    return Line(key, label, "USD", "calculation", formula, category, group)


def _tax(key: str, formula: str, group: str) -> Line:
    return Line(f"{key}_deferred_tax_usd", "Deferred tax, no cash", "USD", "book", formula, TAX,
                group)  # fmt: skip
