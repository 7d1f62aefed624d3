"""What simulation says of a plan's promises: loads, incidents, traces, and what repair cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeVar

from pydantic import Field

from planner.result.record import Record

Verdict = Literal["kept", "broken", "exposed", "unverified"]
Condition = Literal["normal", "spares_out", "one_more_out"]

HANDED_ON = "its traffic goes to "
"""Begins `decided_by` of a pool lost whole."""

IncidentKind = Literal["node_fails", "replicas_start", "interruptions"]


V = TypeVar("V")


def alike(figures: Mapping[str, V]) -> Iterator[tuple[V, str]]:
    """Equal figures, and whose they are.

    Examples
    --------
    >>> list(alike({"a": 0.9, "b": 0.9, "c": 0.5}))
    [(0.9, 'a and 1 more'), (0.5, 'c')]
    """
    for figure in dict.fromkeys(figures.values()):
        names = [name for name, own in figures.items() if own == figure]
        yield figure, names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


class Attained(Record):
    """A latency percentile in simulation, beside its promise."""

    percentile: float
    target_ms: float
    value_ms: float
    low_ms: float
    """Confidence interval of 95 % over independent runs."""
    high_ms: float
    late_frac: float
    """Requests above the target; those refused are above those of the first and last token."""


class TestedPool(Record):
    """One pool under one load, simulated, or named as easier than one that was."""

    candidate: str
    """CandidateRow.id"""
    demand_class: str
    site: str
    period: str
    block: str
    condition: Condition
    """All nodes up; as many out as the availability target plans for; one more."""
    nodes_out: int = 0
    """Nodes of the pool's machines that are down."""
    takes_over: str = ""
    """Candidate and site of a pool lost whole, part of whose traffic this one gets: the nodes out
    are that one's."""
    replicas: float
    """Active in the plan, less those of nodes that are down and not replaced by idle ones."""
    rps_per_replica: float
    """Of the class."""
    rps_beside: dict[str, float] = Field(default_factory=dict)
    """Of the other classes that share the pool, by candidate: they come in the same simulation."""
    verdict: Verdict
    """exposed: breaks only with more nodes out than the availability target plans for; unverified:
    the simulator does not know how the pool serves, which is no pass."""
    reason: str = ""
    """What breaks, and by how much."""
    decided_by: str = ""
    """Simulated load of the same candidate that is at least as hard (rate a replica no lower,
    pool no larger) and kept, or no harder and broken; of a pool lost whole, those that get its
    traffic; empty where this load was simulated."""
    replicas_simulated: int = 0
    """At most the plan's: a larger pool at the same rate a replica is never worse."""
    requests: int = 0
    """Counted, over all runs."""
    ttft: Attained | None = None
    tpot: Attained | None = None
    token_itl: Attained | None = None
    """Gaps between tokens, where they are promised; late_frac is a share of gaps."""
    e2e: Attained | None = None
    """From request to last token, where that is promised."""
    throughput_rps: float | None = None
    """Of a batch class: most that one replica finishes."""
    utilization: float | None = None
    """Rate over the rate at which the queue would grow without end."""
    kv_mean_frac: float | None = None
    """Cache in use, mean over busy time."""
    kv_max_frac: float | None = None
    preempted_frac: float | None = None
    """Pre-emptions a request."""
    refused_frac: float | None = None
    """Requests that the cache cannot hold to their end; they count as late."""

    @property
    def asked_rps(self) -> dict[str, float]:
        """Rate of one replica by candidate, this one's and those that share the pool."""
        return {self.candidate: self.rps_per_replica, **self.rps_beside}


class Incident(Record):
    """An hour of a class in which replicas of one pool are missing while the traffic goes on."""

    kind: IncidentKind
    """A node fails; replicas for a busier block still start; nodes are taken again and again."""
    candidate: str
    demand_class: str
    site: str
    period: str
    block: str
    replicas: int
    """Simulated."""
    rps_per_replica: float
    """With all of them up."""
    replicas_out: int
    """At the same time, at most."""
    taken_over_by: list[str] = Field(default_factory=list)
    """Other pools of the class, which share its traffic meanwhile; their requests count too."""
    back_s: float
    """Until they serve again."""
    back_by: str
    """What takes that long: an idle node starts, repair, start-up."""
    promise: str = ""
    """The promised figure that uses most of what its promise allows."""
    late_frac: float
    """Share of the hour's requests whose figure is later than promised; of gaps between tokens,
    of all gaps."""
    promised_late_frac: float
    """Share that the promise allows."""
    worst_frac: float
    """The same in the worst five minutes."""
    recovered_s: float | None = None
    """From the start until no later five minutes are worse than promised; None: not in the hour."""

    @property
    def within_promise(self) -> bool:
        """Whether the hour as a whole keeps the promise."""
        return self.late_frac <= self.promised_late_frac


class RentedAhead(Record):
    """What it costs that all machines rented by the hour run when their block begins."""

    lead_s: float
    """So much before each block in which more of them run than before."""
    usd_per_year: float
    """Mean of the horizon."""
    npv_usd: float
    """Beside the plan's own; what is paid on top of it."""


class ReplayedTrace(Record):
    """A trace of requests, replayed against one pool of the plan."""

    trace: str
    """Name of the file."""
    candidate: str
    demand_class: str
    site: str
    period: str
    block: str
    """When the pool is busiest; its replicas at that time."""
    replicas: int
    rate: Literal["plan", "trace"]
    """Time scaled to the planned rate, or left as it was recorded."""
    rate_note: str
    """What was scaled, and by how much."""
    mean_rps: float
    """Of the stream as replayed, for this pool."""
    peak_rps: float
    """Its busiest five minutes."""
    planned_rps: float | None = None
    """What the plan counts on in such minutes; None in plans of older versions."""
    share_frac: float
    """Of the trace's requests that this pool gets."""
    requests: int
    """Counted."""
    seconds: float
    """Simulated time."""
    verdict: Verdict
    reason: str = ""
    advice: str = ""
    """Where it breaks: how it differs from what was planned, and what would help."""
    ttft: Attained | None = None
    tpot: Attained | None = None
    token_itl: Attained | None = None
    e2e: Attained | None = None
    utilization: float
    """Share of time in which a step runs."""
    kv_mean_frac: float
    kv_max_frac: float
    preempted_frac: float
    refused_frac: float


class RepairRound(Record):
    """One round: what was changed, what the plan then cost, and whether it kept its promises."""

    lowered: dict[str, float]
    """By candidate, its rates as a share of those first planned with, so far."""
    least_replicas: dict[str, int] = Field(default_factory=dict)
    """By candidate, the fewest replicas that its pools were planned with, so far."""
    npv_usd: float
    broken: int
    """Loads and traces that still broke, and classes not served whole."""


class Repair(Record):
    """How a broken plan was repaired."""

    npv_before_usd: float
    """Of the plan that broke."""
    npv_after_usd: float
    rounds: list[RepairRound]
    ended: str
    """Why it ended: every promise holds, rounds used up, no fleet meets what was changed."""

    @property
    def cost_usd(self) -> float:
        """What keeping the promises costs more."""
        return self.npv_after_usd - self.npv_before_usd

    @property
    def cost_frac(self) -> float:
        """The same as a share of the plan that broke."""
        return self.cost_usd / self.npv_before_usd if self.npv_before_usd else 0.0


class Verification(Record):
    """What simulation says of a plan's promises."""

    scenario: str
    scenario_sha256: str
    seed: int
    kept: bool
    """Every promise was tried and holds, with no more nodes out than the availability target plans
    for."""
    pools: list[TestedPool]
    unserved: list[str] = Field(default_factory=list)
    """Traffic that no pool and no API serves; it breaks its class's promise."""
    incidents: list[Incident] = Field(default_factory=list)
    """Hours with failures: reported, and no part of the verdict."""
    rented_ahead: RentedAhead | None = None
    """Where requests come late at step-ups, because machines then still start."""
    traces: list[ReplayedTrace] = Field(default_factory=list)
    repair: Repair | None = None
    seconds: float
    """Wall time."""
    requests: int
    """Simulated requests that were counted."""
    notes: list[str]

    @property
    def broken(self) -> int:
        """Loads and traces whose promise breaks, and classes that are not served whole."""
        found = [row.verdict for row in self.pools] + [row.verdict for row in self.traces]
        return len(self.unserved) + found.count("broken")

    @property
    def unverified(self) -> int:
        """Loads that could not be tried."""
        return sum(row.verdict == "unverified" for row in self.pools)
