"""The few words that several reports share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.result import (
    ApiRow,
    CandidateRow,
    FleetRow,
    Incident,
    Plan,
    RepairRound,
    TestedPool,
    Verification,
    WholePool,
)
from planner.result.verification import alike

OPTIONS = {
    "owned": "owned",
    "colo": "owned, in colocation",
    "reserved_1y": "reserved 1 year",
    "reserved_3y": "reserved 3 years",
    "on_demand": "on demand",
}
NODES_OUT = {"normal": "", "spares_out": "as planned for", "one_more_out": "one too many"}
INCIDENTS = {
    "node_fails": "a node fails",
    "replicas_start": "replicas still start",
    "interruptions": "nodes are taken",
}
_LEAST_GAP = 0.0001
"""Nothing is said to be nearer than this: two digits of a percent."""


def machine(row: FleetRow) -> str:
    """GB200 NVL72, owned, hq."""
    return f"{row.accelerator_title}, {OPTIONS[row.option]}, {row.site}"


def plural(count: float, noun: str) -> str:
    """Count and noun.

    Examples
    --------
    >>> plural(1, "rack"), plural(12, "node")
    ('1 rack', '12 nodes')
    """
    return f"{count:,.0f} {noun}" + ("" if round(count) == 1 else "s")


def gap_text(plan: Plan) -> str:
    """How far the plan can be from the cheapest fleet."""
    if plan.bound_usd == float("-inf"):
        return "not optimized for these inputs"
    reached = f"within {max(plan.gap_frac, _LEAST_GAP):.2%} of the cheapest possible"
    return reached if plan.status == "optimal" else f"stopped early, {reached}"


def pool_name(candidate: str) -> str:
    """Class and accelerator of a candidate's name, which begins class/model/accelerator.

    Examples
    --------
    >>> pool_name("chat/llama-3.1-8b/l40s/fp8+kv-fp8/vllm/tp1/chunked")
    'chat on l40s'

    Classes that share its pools stand behind its own.

    >>> pool_name("chat~report~search/llama-3.1-8b/l40s/fp8+kv-fp8/vllm/tp1/chunked")
    'chat with report, search on l40s'
    """
    words = candidate.split("/")
    return f"{with_others(*words[0].split('~'))} on {words[2]}" if len(words) > 2 else candidate


def with_others(own: str, *others: str) -> str:
    """A class with those that share its pool.

    Examples
    --------
    >>> with_others("chat"), with_others("chat", "report")
    ('chat', 'chat with report')
    """
    return f"{own} with {', '.join(others)}" if others else own


def pool_label(pool: WholePool, rows: Mapping[str, CandidateRow]) -> str:
    """Configuration and site of a pool; of a shared one with all its classes.

    chat and report share llama-3.1-8b/l40s/fp8+kv-fp8/vllm/tp1/chunked, hq
    """
    if not pool.shared:
        return f"{pool.first.candidate}, {pool.site}"
    rest = pool.first.candidate.partition("/")[2]
    return f"{' and '.join(classes_of(pool, rows))} share {rest}, {pool.site}"


def classes_of(pool: WholePool, rows: Mapping[str, CandidateRow]) -> list[str]:
    """Classes that a pool serves, that of most traffic first."""
    return [rows[part.candidate].demand_class for part in pool.parts]


def beside_text(row: TestedPool) -> str:
    """What comes of other classes in the same simulation; blank for none."""
    others = [f"{rate:.4g}/s of {name.split('~')[0]}" for name, rate in row.rps_beside.items()]
    return f"shared, with {' and '.join(others)} a replica" if others else ""


def taken_over_text(row: TestedPool) -> str:
    """For which lost pool this one stands in; blank for none."""
    if not row.takes_over:
        return ""
    candidate, _, site = row.takes_over.rpartition(" at ")
    return f"in place of {pool_name(candidate)} at {site}"


def incident_text(row: Incident) -> str:
    """What happens, and who takes over."""
    others = len(row.taken_over_by)
    return INCIDENTS[row.kind] + (f", {plural(others, 'other pool')} beside" if others else "")


def lowered_text(step: RepairRound) -> str:
    """Whose rates a round lowered and whose pools it made larger, those alike in one clause."""
    rates = [f"{names} to {share:.1%}" for share, names in alike(step.lowered)]
    pools = [f"pools of {names} of {n:,} or more" for n, names in alike(step.least_replicas)]
    return "; ".join((*rates, *pools))


def promise_text(found: Verification) -> str:
    """What simulation says of the promises, in one line."""
    if found.kept and not found.pools:
        return "nothing to simulate: no traffic is served on modelled rates"
    if found.kept:
        return "every promise holds in simulation"
    untried = f"{plural(found.unverified, 'load')} not simulated" if found.unverified else ""
    if not found.broken:
        return f"no promise breaks in simulation, but not all were tried: {untried}"
    broken = f"promises break in simulation: {plural(found.broken, 'load')}"
    return f"{broken}; {untried}" if untried else broken


def verified_text(plan: Plan) -> str:
    """The same of a plan, or that it was not simulated."""
    if plan.verification is None:
        return "not simulated: planner verify tries every promise"
    return promise_text(plan.verification)


def tax_text(plan: Plan) -> str:
    """Whether costs are before or after income tax."""
    stated = plan.scenario.get("finance", {}).get("tax", {})
    return "after tax" if stated.get("pays_tax") else "before tax"


def asks(plan: Plan) -> list[str]:
    """What is to be approved, a clause for each machine and API."""
    return needs(plan.fleet, plan.apis, [period.label for period in plan.periods])


def needs(fleet: Sequence[FleetRow], apis: Sequence[ApiRow], periods: Sequence[str]) -> list[str]:
    """What a fleet takes, a clause for each machine and API."""
    found = [clause for row in fleet if (clause := _ask(row, periods))]
    for api in apis:
        share = max((max(blocks) for blocks in api.served_frac), default=0.0)
        if share > 0:
            found.append(
                f"send up to {share:.0%} of {api.demand_class} to {api.provider} ({api.model})"
            )
    return found


def _ask(row: FleetRow, periods: Sequence[str]) -> str:
    ordered = [(n, label) for n, label in zip(row.lots_ordered, periods, strict=True) if n > 0]
    if not ordered:
        return ""
    what = f"{row.accelerator_title} at {row.site}"
    if row.option == "on_demand":
        most = max(n for n, _ in ordered)
        return f"rent up to {plural(most, row.lot_name)} {what} on demand"
    verb = "buy" if row.option in ("owned", "colo") else f"sign ({OPTIONS[row.option]})"
    orders = ", ".join(f"{n:,.0f} in {label}" for n, label in ordered[:3])
    more = f" and {len(ordered) - 3} later orders" if len(ordered) > 3 else ""
    total = plural(sum(n for n, _ in ordered), row.lot_name)
    return f"{verb} {total} {what}: {orders}{more}"


def quality_of_data(plan: Plan) -> list[str]:
    """Old figures by name, and how many are estimates; empty where all is fresh and quoted."""
    stale = [row.what for row in plan.sources if row.stale]
    estimates = sum(row.basis == "estimated" for row in plan.sources)
    found = []
    if stale:
        more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
        found.append(f"older than prices may be: {'; '.join(stale[:3])}{more}")
    if estimates:
        found.append(
            f"{plural(estimates, 'figure')} estimated, not quoted: see the list of sources"
        )
    return found
