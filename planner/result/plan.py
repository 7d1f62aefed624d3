"""Plan: the answer, labelled, versioned and complete.

Every report is rebuilt from it without solving and without a catalog: it carries the scenario,
the figures used with their sources, and the solved quantities. Money in USD, nominal.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from planner.result.bands import BandCosts
from planner.result.decoding import DecodeSide, layout
from planner.result.fleet import ApiRow, FleetRow
from planner.result.options import OptionRow
from planner.result.record import Record
from planner.result.reuse import ReuseValue
from planner.result.verification import Verification

PLAN_VERSION = 1


class Period(Record):
    """One planning period."""

    label: str
    """2027-Q1 or 2027-01."""
    first_month: int
    """Months from the start of the horizon, 0 for the first."""
    months: int
    """Length."""
    fiscal_year: str
    """FY2027."""


class Block(Record):
    """One load block."""

    label: str
    """weekday 9-12, 14-17."""
    day: Literal["weekday", "weekend"]
    """Day type."""
    hours: list[float]
    """Calendar hours in each period."""


class ClassTraffic(Record):
    """Demand of one class as planned."""

    name: str
    kind: Literal["online", "batch"]
    models: list[str]
    peak_rps: list[list[float]]
    """[period][block]"""
    mean_rps: list[list[float]]
    """[period][block]"""
    input_tokens_mean: float
    output_tokens_mean: float
    prefix_cache_hit_frac: float
    """Share of input tokens that need no prefill."""


class CandidateRow(Record):
    """One way to serve one class, or why it cannot."""

    id: str
    """class/model/accelerator/quantization+kv/engine/tpXppYepZ/mode"""
    demand_class: str
    shares_with: list[str] = Field(default_factory=list)
    """Other classes that its pools serve too; empty where they serve this class alone."""
    model: str
    accelerator: str
    quantization: str
    kv_dtype: str
    engine: str
    tp: int
    pp: int
    ep: int
    dp: int = 1
    """Attention data parallel degree inside the replica."""
    mode: str
    draft: str = ""
    """Catalog name of the draft that proposes tokens; blank without speculative decoding."""
    gpus: int
    """Accelerators a replica, or a disaggregated unit."""
    prefill_replicas: int = 1
    """Of a disaggregated unit; the layout above, weights, cache and band are those of one."""
    decode: DecodeSide | None = None
    """Where mode is disaggregated: the replicas that answer."""
    feasible: bool
    reason: str = ""
    """Why it cannot serve; empty where it can."""
    recovery_frac: float | None = None
    """Quality kept by weights and KV cache together."""
    weights_gb: float | None = None
    """Weights on one accelerator, 10^9 bytes."""
    overhead_gb: float | None = None
    """Activations, graphs and framework on one accelerator."""
    kv_gb: float | None = None
    """Left for the KV cache on one accelerator."""
    kv_tokens: float | None = None
    """Tokens the replica's cache holds."""
    sequences_max: float | None = None
    """Most sequences of mean length in flight."""
    decode_step_ms: float | None = None
    """Step that only decodes, at the operating point."""
    full_step_ms: float | None = None
    """Step that carries a full prefill chunk."""
    ttft_zero_load_ms: float | None = None
    """TTFT at the promised percentile of lengths without any other traffic."""
    tpot_zero_load_ms: float | None = None
    """TPOT without any other traffic."""
    e2e_zero_load_ms: float | None = None
    """Time to the last token without any other traffic, where it is promised."""
    lambda_star_rps: float | None = None
    """Most requests a second of one replica alone with every promise kept."""
    stability_rps: float | None = None
    """Rate at which the queue would grow without end."""
    rate_rps: float | None = None
    """Slope of the pool's capacity line."""
    offset_rps: float | None = None
    """Offset of the pool's capacity line."""
    small_rps: list[float] = Field(default_factory=list)
    """What pools of 1, 2, 3 replicas carry, which enter the plan by size, not by the line."""
    rate_low_rps: float | None = None
    """The slope if steps take as long as the slow end of the error band."""
    rate_high_rps: float | None = None
    """The slope if steps take as long as the fast end."""
    correction_ratio: float | None = None
    """Step time by measurements of one's own over the performance model's; 1 without any."""
    band_low_frac: float | None = None
    """80 % of measurements in cross-validation lie between this and the next, as factors on the
    step time; common to all candidates of a model on an accelerator."""
    band_high_frac: float | None = None
    """The slow end."""
    planned_frac: float | None = None
    """Factor on the step time that the plan takes: planning.plan_at of the band."""
    binding: str = ""
    """What limits it: ttft, tpot, token_itl, e2e, kv_cache, stability, utilization_cap."""
    simulated: bool = False
    """Rates come from simulation, not from the formulas."""
    kv_wait_frac: float | None = None
    """Probability that a request finds the KV cache full at the planned rate, and waits for room;
    of the sequence slots where these are scarcer. By formula."""
    preempted_frac: float | None = None
    """Share of requests whose cache was taken back before they ended, in simulation at the planned
    rate; blank where the candidate was not simulated."""
    output_tokens_per_s_per_gpu: float | None = None
    """At lambda* in a large pool."""
    usd_per_mtoken: float | None = None
    """USD per million tokens (input + output) at full use, at the cheapest allowed way."""
    usd_per_mtoken_way: str = ""
    """That way: owned at hq."""
    pruned_by: str = ""
    """A candidate at least as good in everything; empty if kept."""
    label: Literal["measured", "calibrated", "extrapolated"] = "calibrated"
    """How well it is known: the model on this accelerator was measured; the accelerator's family
    and precision were fitted; or a coefficient was borrowed from another."""

    @property
    def serves(self) -> str:
        """The class, and those that share its pools: chat with report."""
        others = f" with {', '.join(self.shares_with)}" if self.shares_with else ""
        return f"{self.demand_class}{others}"

    @property
    def rate_stated(self) -> bool:
        """Whether its rate is the scenario's serving table's and nothing was predicted."""
        return self.mode == "measured"

    @property
    def parts(self) -> tuple[tuple[str, int, int], ...]:
        """What a replica or unit is made of: accelerator, accelerators of one, how many."""
        if self.decode is None:
            return ((self.accelerator, self.gpus, 1),)
        own = (self.accelerator, self.tp * self.pp * self.dp, self.prefill_replicas)
        return (own, (self.decode.accelerator, self.decode.gpus, self.decode.replicas))

    @property
    def accelerators(self) -> tuple[str, ...]:
        """What it uses, each once."""
        return tuple(dict.fromkeys(name for name, *_ in self.parts))

    def gpus_on(self, accelerator: str) -> int:
        """Accelerators of a kind in one replica or unit."""
        return sum(gpus * copies for name, gpus, copies in self.parts if name == accelerator)

    @property
    def hardware(self) -> str:
        """h100-sxm; h100-sxm+h200-sxm where these prefill and those decode."""
        return "+".join(name for name, *_ in self.parts)

    @property
    def layout(self) -> str:
        """tp8pp2; 2xtp4+3xtp8 of a disaggregated unit."""
        own = layout(self.tp, pp=self.pp, dp=self.dp, ep=self.ep)
        if self.decode is None:
            return own
        return f"{self.prefill_replicas}x{own}+{self.decode.replicas}x{self.decode.layout}"


class PoolRow(Record):
    """One opened pool, or one class's part of a pool that several share."""

    candidate: str
    """CandidateRow.id"""
    shared_with: list[str] = Field(default_factory=list)
    """CandidateRow.id of the other parts of the pool; replicas are divided by what each needs."""
    site: str
    replicas_peak: list[float]
    """[period], whole; of a part its share of the pool's, in the block of most load"""
    replicas: list[list[float]]
    """[period][block] active; of a part its share of the pool's, by load"""
    served_frac: list[list[float]]
    """[period][block] of the class's traffic"""


class LedgerInput(Record):
    """A number in an input cell."""

    name: str
    """Key used by formulas: discount_rate, price_capex_gb200_hq."""
    label: str
    unit: str
    value: float
    scenario_path: str = ""
    """finance.discount_rate, where the number is the scenario's own."""
    source: str
    as_of: str
    basis: Literal["measured", "quoted", "derived", "estimated", "scenario"]


class SourceRow(Record):
    """Where a number comes from."""

    what: str
    value: str
    unit: str
    source: str
    as_of: str
    basis: str
    used_in: str
    """accelerators, prices, demand, performance, ..."""
    stale: bool = False
    """Older than the age at which prices warn."""


class TrailItem(Record):
    """One line of a sizing step."""

    label: str
    value: float | str
    unit: str
    note: str = ""


class TrailStep(Record):
    """One of the thirteen sizing steps."""

    number: int
    title: str
    items: list[TrailItem]


class SizingTrail(Record):
    """Thirteen steps from workload to cost, for one class."""

    demand_class: str
    steps: list[TrailStep]


class BindingLimit(Record):
    """A limit that the plan uses up."""

    family: str
    """site_power, rack_space, budget, accelerator_types, ..."""
    where: str
    """hq, 2027-Q3"""
    used: float
    limit: float
    unit: str


class AuditLine(Record):
    """One constraint family recomputed without a solver."""

    family: str
    rows: int
    worst_rel: float
    where: str
    holds: bool


class LatencyPoint(Record):
    """One point of a latency-throughput curve."""

    rps: float
    """Requests a second a replica."""
    output_tokens_per_s_per_gpu: float
    ttft_ms: float
    """At the promised percentile."""
    tpot_ms: float
    """At the promised percentile."""
    ttft_slow_ms: float | None = None
    """With steps at the slow end of the error band; None where nothing is steady then."""
    ttft_fast_ms: float | None = None
    """With steps at the fast end."""
    tpot_slow_ms: float | None = None
    tpot_fast_ms: float | None = None
    e2e_ms: float | None = None
    """To the last token, where that is promised."""
    e2e_slow_ms: float | None = None
    e2e_fast_ms: float | None = None


class LatencyCurve(Record):
    """Latency against throughput of one used candidate."""

    candidate: str
    demand_class: str
    shared_with: list[str] = Field(default_factory=list)
    """Classes that share the pool: rates are of all their requests, latencies of this class's."""
    ttft_target_ms: float | None
    tpot_target_ms: float | None
    e2e_target_ms: float | None = None
    """None: not promised."""
    operating_rps: float
    """Planned rate a replica at the peak."""
    points: list[LatencyPoint]


class ClassCost(Record):
    """What a class costs, by share of the machines it uses."""

    demand_class: str
    npv_usd: float
    input_mtokens: float
    """Over the horizon."""
    output_mtokens: float
    usd_per_mtoken: float
    """Undiscounted cost per million tokens (input + output) over the horizon."""


class Plan(Record):
    """The answer."""

    plan_version: Literal[1] = 1
    tool_version: str
    created_at: str
    """UTC, ISO 8601."""
    scenario: dict[str, Any]
    """The scenario as written, every default filled in."""
    scenario_sha256: str
    status: Literal["optimal", "stopped"]
    """Within the asked gap, or stopped before with this plan."""
    gap_asked_frac: float
    npv_usd: float
    """Present value of all cash out: positive is cost."""
    bound_usd: float
    """No fleet costs less, for the lambda* that the formulas give."""
    gap_frac: float
    rounding_usd: float
    """What whole numbers cost over the solver's relaxation of the same fleet."""
    seconds: dict[str, float]
    """Wall time by step."""
    periods: list[Period]
    blocks: list[Block]
    demand: list[ClassTraffic]
    fleet: list[FleetRow]
    pools: list[PoolRow]
    apis: list[ApiRow]
    ledger_inputs: list[LedgerInput]
    """Every number behind the cash rows."""
    ledger_quantities: dict[str, list[float]]
    """Solved quantities by month, horizon only, behind the cash rows; key as in finance.ledger."""
    ledger_lines: list[dict[str, Any]]
    """The cash rows: finance.ledger.dump(lines); numbers and formulas come from these alone."""
    class_costs: list[ClassCost]
    candidates: list[CandidateRow]
    trails: list[SizingTrail]
    curves: list[LatencyCurve]
    binding: list[BindingLimit]
    audit: list[AuditLine]
    sources: list[SourceRow]
    notes: list[str]
    """Solved, but you should know."""
    verification: Verification | None = None
    """What simulation says of the promises; None where it was not asked."""
    band_costs: BandCosts | None = None
    """What the performance model's error costs, where options were asked for."""
    reuse_values: list[ReuseValue] = Field(default_factory=list)
    """What prefix caching and cache-aware routing save, where options were asked for and a class
    has prefix hits."""
    options: list[OptionRow] = Field(default_factory=list)
    """The plan first, then what it is compared with; empty where nothing was compared."""

    def as_option(self) -> OptionRow:
        """The plan as the first of its options."""
        return OptionRow(
            name="plan",
            title="The plan",
            status="plan",
            npv_usd=self.npv_usd,
            bound_usd=self.bound_usd,
            gap_frac=self.gap_frac,
            fleet=self.fleet,
            apis=self.apis,
            ledger_quantities=self.ledger_quantities,
        )
