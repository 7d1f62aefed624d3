"""Every configuration that can exist for a class, and the reason of those that cannot.

What no formula is needed for is refused here: formats that the hardware or engine does not run,
quality below the floor, layouts that divide no head. One row stands for a whole refused family
(an excluded accelerator, an unsupported format), so that the list stays readable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from planner.result.decoding import layout
from planner.schema.catalog import Accelerator, Catalog, Engine, Model, Quantization
from planner.schema.demand import Batch, Online
from planner.schema.scenario import Scenario

ANY = "-"
"""In a refused row: holds for every value of this field."""
LEAST_SAVED_FRAC = 0.1
"""Bytes that storing released weights in another format must save, where arithmetic gains nothing:
nobody quantizes 4-bit weights (MXFP4, 4.25 bits) again into another 4-bit format (GPTQ, 4.125)."""


@dataclass(frozen=True)
class Part:
    """Accelerators of one kind that work as one."""

    accelerator: str
    gpus: int
    copies: int = 1


@dataclass(frozen=True)
class Configuration:
    """One class on one model, accelerator, format, engine, layout and batching mode."""

    demand_class: int
    model: str
    accelerator: str
    quantization: str = ANY
    kv_dtype: str = ANY
    engine: str = ANY
    tp: int = 1
    pp: int = 1
    ep: int = 1
    dp: int = 1
    mode: str = ANY
    draft: str = ""
    """Catalog name of the speculator, in speculative mode."""
    recovery_frac: float = 1.0
    native: bool = True
    """Arithmetic runs at the format's own rate; else weights are stored in it, computed in bf16."""
    measured_rps: float | None = None
    """Rate of one replica from the serving table; None: the performance model is asked."""
    source: str = ""
    """Who measured it."""
    reason: str = ""
    decode: Configuration | None = None
    """Replicas that answer, where these only compute prompts: a disaggregated unit of both."""
    prefill_replicas: int = 1
    """Of a unit."""
    decode_replicas: int = 0
    shared_by: tuple[int, ...] = ()
    """Classes whose requests its pools serve together, this one among them, ascending; empty where
    pools serve this class alone."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """What one replica (or unit) is made of."""
        own = Part(self.accelerator, self.tp * self.pp * self.dp, self.prefill_replicas)
        if self.decode is None:
            return (own,)
        return (own, replace(self.decode.parts[0], copies=self.decode_replicas))

    @property
    def gpus(self) -> int:
        """Accelerators of one replica, or unit."""
        return sum(part.gpus * part.copies for part in self.parts)

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Names of what it uses, each once."""
        return tuple(dict.fromkeys(part.accelerator for part in self.parts))

    @property
    def shared(self) -> Configuration | None:
        """What the candidates of one mix have in common; None of one that serves alone."""
        return replace(self, demand_class=self.shared_by[0]) if self.shared_by else None

    @property
    def layout(self) -> str:
        """tp8, tp8pp2, tp1dp8ep8; 2xtp4+3xtp8 of a disaggregated unit."""
        own = layout(self.tp, pp=self.pp, dp=self.dp, ep=self.ep)
        if self.decode is None:
            return own
        return f"{self.prefill_replicas}x{own}+{self.decode_replicas}x{self.decode.layout}"

    @property
    def hardware(self) -> str:
        """h100-sxm; h100-sxm+h200-sxm of a unit, prefill first, even where both are the same."""
        if self.decode is None:
            return self.accelerator
        return f"{self.accelerator}+{self.decode.accelerator}"

    def name(self, demand_class: str, others: Sequence[str] = ()) -> str:
        """Identifier in reports.

        Parameters
        ----------
        others : classes that share its pools.
        """
        formats = f"{self.quantization}+kv-{self.kv_dtype}"
        return "/".join(
            (
                "~".join((demand_class, *others)),
                self.model,
                self.hardware,
                formats,
                self.engine,
                self.layout,
                f"{self.mode}-{self.draft}" if self.draft else self.mode,
            )
        )


def configurations(
    scenario: Scenario, catalog: Catalog, leave_out: Collection[int] = ()
) -> list[Configuration]:
    """All configurations of all classes but those left out, refused ones with their reason."""
    found = []
    for index, demand in enumerate(scenario.demand):
        if not isinstance(demand, Online | Batch) or index in leave_out:
            continue
        for model in demand.models:
            for name in wanted_accelerators(scenario, catalog):
                start = Configuration(index, model, name)
                found += list(_of_pair(start, demand.quality_floor, scenario, catalog))
    return found


def wanted_accelerators(scenario: Scenario, catalog: Catalog) -> list[str]:
    """Accelerators that the scenario admits, in catalog order."""
    wanted = scenario.supply.accelerators
    return [name for name in catalog.accelerators if wanted == "all" or name in wanted]


def _of_pair(
    start: Configuration, floor: float, scenario: Scenario, catalog: Catalog
) -> Iterator[Configuration]:
    accelerator, model = catalog.accelerators[start.accelerator], catalog.models[start.model]
    if not accelerator.plannable:
        yield replace(start, reason=f"excluded: {accelerator.excluded_because}")
        return
    for formatted in _formats(start, floor, scenario, catalog):
        if formatted.reason:
            yield formatted
            continue
        for served in _engines(formatted, scenario, catalog):
            if served.reason:
                yield served
            else:
                yield from _layouts(served, model, accelerator, scenario)


def _formats(
    start: Configuration, floor: float, scenario: Scenario, catalog: Catalog
) -> Iterator[Configuration]:
    """Weight and KV formats that hardware and quality floor admit."""
    generation = catalog.accelerators[start.accelerator].generation
    model = catalog.models[start.model]
    wanted = scenario.supply.quantizations
    for name, row in catalog.quantizations.items():
        if row.applies_to != "weights" or not (wanted == "all" or name in wanted):
            continue
        reason = _format_refused(name, row, model, catalog, generation)
        if reason:
            yield replace(start, quantization=name, reason=reason)
            continue
        native = generation in row.native_generations
        kept = recovery(name, row, model)
        for kv in scenario.supply.kv_dtypes:
            yield _with_kv(
                replace(start, quantization=name, native=native), kv, kept, floor, catalog
            )


def _with_kv(
    start: Configuration, kv: str, weights_kept: float, floor: float, catalog: Catalog
) -> Configuration:
    generation = catalog.accelerators[start.accelerator].generation
    row = catalog.quantizations[f"kv-{kv}"]
    kept = weights_kept * recovery(f"kv-{kv}", row, catalog.models[start.model])
    candidate = replace(start, kv_dtype=kv, recovery_frac=kept)
    if generation not in (*row.native_generations, *row.weight_only_generations):
        return replace(candidate, reason=f"no {kv} KV cache on {generation}")
    if kept < floor:
        return replace(candidate, reason=f"keeps {kept:.3f} of the quality, floor {floor:g}")
    return candidate


def recovery(name: str, row: Quantization, model: Model) -> float:
    """Quality kept, 1 where the weights were released in this format."""
    if name == model.native_quantization:
        return 1.0
    fitting = [r for r in row.recovery if model.total_params_b >= r.params_b_min]
    return max(fitting, key=lambda r: r.params_b_min).recovery_frac if fitting else 0.0


def _format_refused(name: str, row: Quantization, model: Model, catalog: Catalog, on: str) -> str:
    if on not in (*row.native_generations, *row.weight_only_generations):
        return f"{row.title} does not run on {on}"
    if row.parts == "experts" and not model.experts:
        return f"{row.title} quantizes experts, the model is dense"
    released = model.native_quantization
    if not released or name == released:
        return ""
    bits = catalog.quantizations[released].bits_per_element
    if row.bits_per_element > bits:
        return f"weights are released in {released}; {row.title} only adds bytes"
    if row.compute == "bf16" and row.bits_per_element > bits * (1 - LEAST_SAVED_FRAC):
        return f"weights are released in {released}; {row.title} saves next to nothing"
    return ""


def _engines(start: Configuration, scenario: Scenario, catalog: Catalog) -> Iterator[Configuration]:
    for name in scenario.supply.engines:
        engine = catalog.engines[name]
        reason = _engine_refused(engine, start, catalog)
        if reason:
            yield replace(start, engine=name, reason=reason)
            continue
        for mode in scenario.supply.modes:
            if mode == "disaggregated":  # units of two layouts: see `disaggregated`
                continue
            served = replace(start, engine=name, mode=mode)
            if mode == "speculative":
                yield from _drafts(served, engine, catalog)
                continue
            # Static batches are collected in front of an engine: any can serve them.
            known = mode in (*engine.modes, "static")
            refused = "" if known else f"{engine.title} has no {mode} batching"
            yield replace(served, reason=refused)


def _drafts(start: Configuration, engine: Engine, catalog: Catalog) -> Iterator[Configuration]:
    """One configuration for each draft of the model that the engine runs."""
    known = [name for name, row in catalog.speculators.items() if row.model == start.model]
    run = [name for name in known if start.engine in catalog.speculators[name].engines]
    if "chunked" not in engine.modes or not engine.features.get("speculative", False):
        yield replace(start, reason=f"{engine.title} has no speculative decoding")
    elif not run:
        none = f"{engine.title} runs none of {', '.join(known)}" if known else "no draft is known"
        yield replace(start, reason=f"{none} for {start.model} (speculators.yaml)")
    else:
        for name in run:
            yield replace(start, draft=name)


def _engine_refused(engine: Engine, start: Configuration, catalog: Catalog) -> str:
    accelerator = catalog.accelerators[start.accelerator]
    if not engine.plannable:
        return f"excluded: {engine.excluded_because}"
    if accelerator.vendor not in engine.vendors:
        return f"{engine.title} does not run on {accelerator.vendor}"
    if accelerator.generation in engine.generations_excluded:
        return f"{engine.title} does not run on {accelerator.generation}"
    if start.quantization not in engine.quantizations:
        return f"{engine.title} does not serve {start.quantization}"
    if start.kv_dtype not in engine.kv_dtypes:
        return f"{engine.title} has no {start.kv_dtype} KV cache"
    return ""


def _layouts(
    start: Configuration, model: Model, accelerator: Accelerator, scenario: Scenario
) -> Iterator[Configuration]:
    """Tensor-parallel within the fast domain (or node), pipeline across, experts over all."""
    reach = max(accelerator.scaleup_domain_gpus, 1)
    tp_max = min(max(reach, accelerator.gpus_per_node), scenario.supply.tp_max)
    for tp in _powers(tp_max):
        for pp in _powers(scenario.supply.pp_max):
            if tp * pp > max(accelerator.gpus_per_node, reach) * scenario.supply.pp_max:
                continue
            yield _checked(replace(start, tp=tp, pp=pp), model)
            if model.experts and pp == 1 and tp > 1:
                yield _checked(replace(start, tp=tp, ep=tp), model)
                if model.attention == "MLA":
                    yield _checked(replace(start, tp=1, dp=tp, ep=tp), model)


def _checked(layout: Configuration, model: Model) -> Configuration:
    if layout.draft and layout.pp > 1:
        return replace(layout, reason="speculative decoding does not run over pipeline stages")
    if model.heads % layout.tp:
        return replace(layout, reason=f"{model.heads} heads do not divide by TP {layout.tp}")
    if model.layers < layout.pp:
        return replace(layout, reason=f"{model.layers} layers, PP {layout.pp}")
    if layout.ep > 1 and model.experts % layout.ep:
        return replace(layout, reason=f"{model.experts} experts do not divide by EP {layout.ep}")
    return layout


def _powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length()) if 1 << i <= most]
