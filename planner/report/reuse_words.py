"""What prefix caching and cache-aware routing save, one sentence each."""

from __future__ import annotations

from planner.report.sheet_annual import Scale
from planner.result import Plan, ReuseValue


def reuse_words(plan: Plan, scale: Scale) -> list[str]:
    """Sentences for the Decision and Options sheets; none where nothing was asked."""
    return [_words(value, scale) for value in plan.reuse_values]


def _words(value: ReuseValue, scale: Scale) -> str:
    hits = f"({value.kept_frac:.0%} of the prefix hits remain)"
    worth, least = value.worth_usd, value.worth_least_usd
    if worth is None:
        why = {
            "infeasible": "no fleet keeps its promises: " + "; ".join(value.reasons),
            "late": "machines come too late to serve all",
        }.get(value.status, "not solved in its time")
        return f"{value.title} {hits}: {why}."
    dearer = f"costs {worth / scale.usd:,.1f} {scale.unit} more" if worth > 0 else "costs no more"
    proven = f", at least {least / scale.usd:,.1f}" if least else ""
    return f"{value.title} {hits} the same demand {dearer} in net present terms{proven}."
