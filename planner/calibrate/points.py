"""Points: rows of a table of measured operating points, checked one by one.

A row that cannot be predicted is refused with its reason and the rest go on. Nothing but the
file itself (missing, empty, no header) ends the reading.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.calibrate import naming
from planner.calibrate.holds import hold_steps
from planner.calibrate.sources import Traits, data_set_lengths, experts_only, traits_of
from planner.candidates.enumerate import Configuration
from planner.errors import ScenarioError
from planner.schema.catalog import Catalog, Quantization
from planner.units import BITS_PER_BYTE

Row = Mapping[str, str]

CLOSED, STATIC, OFFLINE, OPEN, SPLIT = "closed", "static", "offline", "open", "disaggregated"
EXPERTS_ONLY = "nvfp4-experts"
"""nvfp4 of the experts alone: how most public checkpoints of mixtures of experts are made."""
OFFLINE_LOADS = ("inf", "offline_batch")
OPEN_LOADS = ("qps", "poisson_qps")
WEIGHTS_FRAC = 0.6
"""Weights leave the rest of the memory to the cache where the layout is not stated."""
UNSTATED_LAYOUT = (
    f"layout not stated: smallest tensor-parallel group that weights fill to {WEIGHTS_FRAC:.0%}"
)
SAME_FRAC = 0.01
"""Rounding between a figure of the table and one quoted in its notes."""
TPOT_MS_MAX = 20_000.0
"""A token never takes 20 s: such figures are microseconds."""


@dataclass(frozen=True)
class Point:
    """One operating point in base units of the table (ms, tokens/s)."""

    id: str
    config: Configuration
    kind: str
    replicas: float
    input_tokens: float
    output_tokens: float
    load: float
    """Clients, batch or requests/s of all replicas; infinite: everything queued at once."""
    requests: float
    """Requests of the run, NaN where not known."""
    traits: Traits
    tpot_ms: float
    ttft_ms: float
    throughput_tok_s: float
    trust: str
    groups: Mapping[str, str]
    """mode, hardware, engine, model family and basis, as the summary groups them."""
    decode: Configuration | None = None
    """Decode workers of a disaggregated point."""
    decode_replicas: float = 0.0
    hold_steps: float = 0.0
    """Decode steps that the server lets a request wait before its prefill."""
    assumed: tuple[str, ...] = ()
    """What was assumed of this row beyond its source, in words."""


@dataclass(frozen=True)
class Refused:
    """A row that is not predicted."""

    id: str
    reason: str
    trust: str = ""


class _Bad(Exception):
    """Why a row is refused."""


def with_checkpoints(catalog: Catalog) -> Catalog:
    """The catalog and the format `EXPERTS_ONLY`, which no plan offers."""
    row = catalog.quantizations["nvfp4"]
    own: dict[str, Quantization] = {EXPERTS_ONLY: row.model_copy(update={"parts": "experts"})}
    return catalog.model_copy(update={"quantizations": catalog.quantizations | own})


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file, blanks as "".

    Raises
    ------
    ScenarioError
        Where the file is no text table with a header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [
                {str(k).strip(): (v or "").strip() for k, v in row.items() if isinstance(v, str)}
                for row in csv.DictReader(file)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScenarioError(str(path), [f"not a readable CSV table: {error}"]) from error
    if not rows:
        raise ScenarioError(str(path), ["no rows: expected a header and operating points"])
    known = {"hardware", "model"} & rows[0].keys()
    if not known:
        found = ", ".join(list(rows[0])[:6])
        raise ScenarioError(str(path), [f"no columns hardware and model; found {found}"])
    return rows


def read_points(path: Path, catalog: Catalog) -> tuple[list[Point], list[Refused]]:
    """Points of a table, and the rows that were refused; `catalog` is of `with_checkpoints`."""
    return points_of(read_rows(path), catalog)


def points_of(rows: Sequence[Row], catalog: Catalog) -> tuple[list[Point], list[Refused]]:
    """Points of parsed rows, and the rows that were refused."""
    names = naming.model_names(catalog)
    points, refused = [], []
    for number, row in enumerate(rows, start=2):
        label = row.get("id") or f"line {number}"
        try:
            points.append(_point(label, row, catalog, names))
        except _Bad as bad:
            refused.append(Refused(label, str(bad), row.get("trust", "")))
    return points, refused


def _point(label: str, row: Row, catalog: Catalog, names: Mapping[str, str]) -> Point:
    kind = _kind(row)
    config = _format(row, catalog, names)
    source = row.get("source", "")
    traits = traits_of(
        source,
        config.engine,
        vendor=catalog.accelerators[config.accelerator].vendor,
        moe=catalog.models[config.model].experts > 0,
    )
    prompt, output = _lengths(row, source, config.model, traits)
    measured = {
        "tpot_ms": _figure(row, "itl_or_tpot_ms"),
        "ttft_ms": _figure(row, "ttft_ms"),
        "throughput_tok_s": _throughput(row),
    }
    if all(math.isnan(value) for value in measured.values()):
        raise _Bad("nothing measured: no itl_or_tpot_ms, ttft_ms or output_tok_s_total")
    load = _load(row, kind)
    _plausible(measured, kind, load, output)
    assumed = () if row.get("tp") or kind == SPLIT else (UNSTATED_LAYOUT,)
    decode, decode_replicas = None, 0.0
    if kind == SPLIT:
        config, replicas, decode, decode_replicas = _workers(row, config, catalog)
    else:
        config, replicas = _layout(row, config, catalog, traits)
        replicas = 1.0 if _of_one_replica(row) else replicas
    held = 0.0
    if kind == CLOSED:
        held = hold_steps(
            source=source, engine=config.engine, accelerator=config.accelerator,
            model=config.model, tp=config.tp, clients=load / replicas,
            nominal=(_number(row, "isl"), _number(row, "osl")),
        )  # fmt: skip
    return Point(
        id=label, config=config, kind=kind, replicas=replicas, input_tokens=prompt,
        output_tokens=output, load=load, requests=_requests(row, traits, load), traits=traits,
        trust=row.get("trust", ""), groups=_groups(row, config, catalog), decode=decode,
        decode_replicas=decode_replicas, hold_steps=held, assumed=assumed, **measured,
    )  # fmt: skip


def _number(row: Row, column: str) -> float:
    """Value of a column, NaN where blank; infinite for "inf"."""
    text = row.get(column, "").replace(",", "")
    if text.lower() in ("", "nan", "none", "na", "n/a", "-"):
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise _Bad(f"{column}: expected a number, found {text!r}") from None


def _positive(row: Row, column: str) -> float:
    value = _number(row, column)
    if math.isnan(value):
        raise _Bad(f"missing {column}")
    if not 0 < value < math.inf:
        raise _Bad(f"{column}: expected a number above 0, found {value:g}")
    return value


def _figure(row: Row, column: str) -> float:
    """A measured figure, NaN where blank."""
    value = _number(row, column)
    if not math.isnan(value) and not 0 < value < math.inf:
        raise _Bad(f"{column}: expected above 0, found {value:g}")
    return value


def _throughput(row: Row) -> float:
    total = _figure(row, "output_tok_s_total")
    each, gpus = _figure(row, "output_tok_s_per_gpu"), _figure(row, "n_gpus")
    if math.isnan(total):
        return each * gpus
    if not math.isnan(each * gpus) and not 0.5 < total / (each * gpus) < 2.0:
        raise _Bad(f"output_tok_s_total {total:g} is not n_gpus x output_tok_s_per_gpu {each:g}")
    return total


def _of_one_replica(row: Row) -> bool:
    """Whether load and throughput are those of one of several replicas.

    Some notes quote the source's own total, input tokens included; where that is the output rate
    of the table times the replicas, the table's row describes one of them.
    """
    quoted = re.search(r"source gives total tok/s=([\d.]+)", row.get("notes", ""))
    copies = _number(row, "dp")
    if quoted is None or not copies > 1:
        return False
    prompt, output = _number(row, "isl"), _number(row, "osl")
    rate = float(quoted.group(1)) * output / (prompt + output)
    return abs(rate / (copies * _throughput(row)) - 1.0) < SAME_FRAC


def _kind(row: Row) -> str:
    load, mode = row.get("load_kind", "").lower(), row.get("mode", "").lower()
    if mode == "disaggregated" or row.get("disagg_layout"):
        return SPLIT
    if load.startswith(("burst", *OFFLINE_LOADS)):
        return OFFLINE
    if load == "static_batch":
        return STATIC
    if load.startswith(OPEN_LOADS):
        text = row.get("concurrency_or_qps", "")
        return OFFLINE if text.lower() == "inf" else OPEN
    if load == "closed_loop" or (not load and mode == "concurrency"):
        return CLOSED
    if not load and mode == "offline":
        return OFFLINE
    raise _Bad(f"load_kind {load!r} (mode {mode!r}): expected closed_loop, inf, offline_batch, "
               "burst_N_at_once, static_batch, qps or poisson_qps")  # fmt: skip


def _load(row: Row, kind: str) -> float:
    text = row.get("concurrency_or_qps", "").lower()
    if kind == OFFLINE and text in ("", "inf", "nan"):
        return math.inf
    return _positive(row, "concurrency_or_qps")


def _requests(row: Row, traits: Traits, load: float) -> float:
    """Requests of a run: stated in load or notes, else by the source."""
    for text in (row.get("load_kind", ""), row.get("notes", "")):
        found = re.search(r"burst_(\d+)_at_once|(\d+) requests", text)
        if found:
            return float(found.group(1) or found.group(2))
    if row.get("load_kind", "") == "offline_batch" and math.isfinite(load):
        return load
    if row.get("load_kind", "") == "burst_n_at_once" and math.isfinite(load):
        return load
    return traits.requests or math.nan


def _lengths(row: Row, source: str, model: str, traits: Traits) -> tuple[float, float]:
    known = data_set_lengths(source, model)
    if known and math.isnan(_number(row, "isl")):
        output = _number(row, "osl")
        return known[0], known[1] if math.isnan(output) else output
    prompt, output = _positive(row, "isl"), _positive(row, "osl")
    return max(prompt * traits.length_frac, 1.0), max(output * traits.length_frac, 1.0)


def _format(row: Row, catalog: Catalog, names: Mapping[str, str]) -> Configuration:
    """Accelerator, model, engine and formats; no layout yet."""
    hardware, model = row.get("hardware", ""), row.get("model", "")
    accelerator = naming.accelerator_of(hardware, catalog)
    if accelerator is None:
        raise _Bad(naming.unknown("accelerator", hardware, catalog.accelerators))
    row_name = naming.model_of(model, row.get("model_family", ""), names)
    if row_name is None:
        raise _Bad(naming.unknown("model", model, catalog.models))
    engine = naming.engine_of(row.get("engine", ""))
    if engine is None:
        able = [name for name, e in catalog.engines.items() if e.calibration]
        raise _Bad(naming.unknown("engine", row.get("engine", ""), able))
    weights = _weights(row, row_name, catalog)
    scheme, generation = (
        catalog.quantizations[weights],
        catalog.accelerators[accelerator].generation,
    )
    if generation not in (*scheme.native_generations, *scheme.weight_only_generations):
        raise _Bad(f"{scheme.title} does not run on {generation}")
    return Configuration(
        demand_class=0, model=row_name, accelerator=accelerator, quantization=weights,
        kv_dtype=_cache(row, scheme, engine, row.get("source", "")), engine=engine,
        native=generation in scheme.native_generations,
    )  # fmt: skip


def _weights(row: Row, model: str, catalog: Catalog) -> str:
    text = row.get("weight_precision", "")
    if not text:
        raise _Bad("missing weight_precision")
    found = naming.format_of(text)
    if found is None:
        raise _Bad(naming.unknown("weight_precision", text, naming.formats()))
    if found == "nvfp4" and catalog.models[model].native_quantization == "mxfp4":
        return "mxfp4"
    moe = catalog.models[model].experts > 0
    if moe and found == "int4-awq" and catalog.models[model].native_quantization:
        return "int4-experts"
    return EXPERTS_ONLY if moe and experts_only(model, found) else found


def _cache(row: Row, scheme: Quantization, engine: str, source: str) -> str:
    """Cache format: stated, else fp8 where engine or source keeps it with narrow weights."""
    text = row.get("kv_precision", "").lower()
    if text:
        return "fp8" if text.startswith(("fp8", "e4m3", "e5m2")) else "bf16"
    narrow = scheme.compute in ("fp8", "fp4")
    keeps = engine == "tensorrt-llm" or traits_of(source, engine).kv_fp8
    return "fp8" if narrow and keeps else "bf16"


def _count(row: Row, column: str, default: float) -> int:
    value = _number(row, column)
    value = default if math.isnan(value) else value
    if not math.isfinite(value) or value < 1 or value != int(value):
        raise _Bad(f"{column}: expected a whole number above 0, found {value:g}")
    return int(value)


def _layout(
    row: Row, config: Configuration, catalog: Catalog, traits: Traits
) -> tuple[Configuration, float]:
    """Layout of a replica, and replicas: groups of GPUs that serve the same model apart."""
    model = catalog.models[config.model]
    tp = _count(row, "tp", 1) if row.get("tp") else _usual_tp(row, config, catalog)
    pp, ep = _count(row, "pp", 1), _count(row, "ep", 1)
    stated = not math.isnan(_number(row, "dp"))
    dp, copies = _count(row, "dp", 1), 1.0
    if model.experts and traits.expert_dp and not stated and tp > 1:
        tp, dp, ep = 1, tp, tp
    if not model.experts:
        copies, dp = float(dp), 1
        if ep > 1:
            raise _Bad(f"ep {ep}: {config.model} has no experts")
    gpus = _number(row, "n_gpus")
    group = tp * pp * dp
    if not math.isnan(gpus) and gpus > 0:
        if gpus % group:
            raise _Bad(f"n_gpus {gpus:g} is no multiple of tp {tp} x pp {pp} x dp {dp}")
        copies = gpus / group
    _reach(config, catalog, tp * dp)
    return _placed(config, tp=tp, pp=pp, ep=ep, dp=dp), copies


def _usual_tp(row: Row, config: Configuration, catalog: Catalog) -> int:
    """Smallest group of GPUs whose memory the weights fill by less than `WEIGHTS_FRAC`."""
    gpus = _number(row, "n_gpus")
    if math.isnan(gpus):
        raise _Bad("missing tp")
    model, machine = catalog.models[config.model], catalog.accelerators[config.accelerator]
    bits = catalog.quantizations[config.quantization].bits_per_element
    need_gb = model.total_params_b * bits / BITS_PER_BYTE
    for tp in (1, 2, 4, 8):
        if gpus % tp == 0 and need_gb <= WEIGHTS_FRAC * machine.memory_gb * tp:
            return tp
    raise _Bad(f"missing tp, and {need_gb:.0f} GB of weights do not fit {gpus:g} GPUs in groups")


def _reach(config: Configuration, catalog: Catalog, gpus: int) -> None:
    machine = catalog.accelerators[config.accelerator]
    most = max(machine.gpus_per_node, machine.scaleup_domain_gpus)
    if gpus > most:
        raise _Bad(f"{gpus} GPUs share a layer; {config.accelerator} joins {most} at most")


def _placed(config: Configuration, *, tp: int, pp: int, ep: int, dp: int) -> Configuration:
    return Configuration(
        demand_class=0, model=config.model, accelerator=config.accelerator,
        quantization=config.quantization, kv_dtype=config.kv_dtype, engine=config.engine,
        native=config.native, tp=tp, pp=pp, ep=ep, dp=dp, mode="chunked",
    )  # fmt: skip


_LONG = re.compile(r"(prefill|decode)\s+(\d+)x\(tp(\d+),\s*dp(\d+),\s*ep(\d+)\)")
_SHORT = re.compile(r"(\d+)P(\d+)D\s+TP(\d+)", re.IGNORECASE)


def _workers(
    row: Row, config: Configuration, catalog: Catalog
) -> tuple[Configuration, float, Configuration, float]:
    """Prefill and decode workers of a disaggregated point."""
    text = row.get("disagg_layout", "")
    short = _SHORT.search(text)
    if short:
        prefill, decode, tp = (int(n) for n in short.groups())
        place = _placed(config, tp=tp, pp=1, ep=1, dp=1)
        return place, float(prefill), place, float(decode)
    parts = {kind: [int(n) for n in numbers] for kind, *numbers in _LONG.findall(text)}
    if parts.keys() != {"prefill", "decode"}:
        raise _Bad(f"disagg_layout {text!r}: layout of the workers is not stated")
    places = []
    for kind in ("prefill", "decode"):
        _, tp, dp, ep = parts[kind]
        _reach(config, catalog, tp * dp)
        places.append(_placed(config, tp=tp, pp=1, ep=ep, dp=dp))
    return places[0], float(parts["prefill"][0]), places[1], float(parts["decode"][0])


def _plausible(measured: Mapping[str, float], kind: str, load: float, output: float) -> None:
    """Refuse figures that contradict each other: another unit, or another column."""
    tpot, ttft = measured["tpot_ms"], measured["ttft_ms"]
    rate = measured["throughput_tok_s"]
    if tpot > TPOT_MS_MAX:
        raise _Bad(f"itl_or_tpot_ms {tpot:g}: over 20 s a token; microseconds?")
    if kind == CLOSED and ttft < tpot / 4 and output > 1:
        raise _Bad(f"ttft_ms {ttft:g} under a quarter of itl_or_tpot_ms {tpot:g}: mixed units?")
    answer_s = (ttft + (output - 1) * tpot) / 1e3
    held = rate * answer_s / output / load if kind == CLOSED else math.nan
    if not math.isnan(held) and not 1 / 4 < held < 4:
        raise _Bad(
            f"output_tok_s_total x latency holds {held * load:.3g} requests, "
            f"concurrency is {load:g}: mixed units?"
        )


def _groups(row: Row, config: Configuration, catalog: Catalog) -> dict[str, str]:
    return {
        "mode": row.get("mode", "") or row.get("load_kind", ""),
        "hardware": config.accelerator,
        "engine": config.engine,
        "model": row.get("model_family", "") or catalog.models[config.model].family,
        "trust": row.get("trust", ""),
        "source": row.get("source", ""),
        "lengths": f"{row.get('isl', '')}/{row.get('osl', '')}",
        "weights": config.quantization,
        "date": row.get("measured_date", ""),
    }
