"""Device: what is timed on one's own GPU, and the coefficients that follow.

Work is a value, a device anything that can time it, so that plan and reduction are plain functions:
torch on CUDA stands behind the Protocol in use, a made-up GPU of known rates in tests.

Of each piece of work the median of repeated timings counts, after a warm-up. Rates come from the
slope over sizes, so that what every launch costs drops out. Rows are those of the accelerator's
generation and hold shares of the datasheet, as the packaged ones do; coefficients of engines (cost
a layer, a sequence, a request) are not measured by kernels: `calibrate overlay` corrects those.

.. [1] P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any, Protocol

import numpy as np

from planner.calibrate import naming
from planner.errors import ScenarioError
from planner.perf.step_time import shape_frac
from planner.progress import Count, Stage, Tell, unheard
from planner.schema.catalog import Accelerator, Catalog
from planner.units import GIGA, MICRO, TERA

HEAD = """\
# Rates of one device, for its generation. Written by `planner calibrate device`; applied by
# --catalog with the folder above this one.
"""
BF16_BYTES = 2.0
REPEATS = 30
"""Timings of each piece of work; the median of so many moves by less than 1 % of their scatter."""
PREFILL_ROWS = 8192
"""Rows of a full step: the token budget at which arithmetic rules."""
DECODE_ROWS = 8
"""Rows of a small decode batch: the weights' way from memory rules."""
SIDES = (4096, 5120, 8192, 12288, 16384)
"""Sides of square matrices, as linear layers of 8B to 405B models have them on a GPU."""
STREAM_SIDES = (12288, 16384, 20480, 24576)
"""From 302 MB on: larger than any cache (256 MB on CDNA3), so that repetitions read memory."""
COPY_BYTES = (0.5e9, 1e9, 1.5e9, 2e9)
DECODE_CONTEXTS = (2048, 4096, 6144, 8192)
DECODE_SEQUENCES, HEADS, KV_HEADS, HEAD_DIM = 64, 32, 8, 128
"""Grouped-query attention as Llama 3.1 8B has it."""
KERNELS = 200
ABOVE_DATASHEET = 1.05
"""No device moves more than its datasheet says, but for rounding there."""


@dataclass(frozen=True)
class Gemm:
    """Rows x inner by inner x columns in bf16."""

    rows: int
    inner: int
    columns: int

    @property
    def flop(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.rows * self.inner * self.columns

    @property
    def weight_bytes(self) -> float:
        """Of the matrix that a layer would store."""
        return BF16_BYTES * self.inner * self.columns

    @property
    def memory_bytes(self) -> float:
        """All three matrices."""
        return self.weight_bytes + BF16_BYTES * self.rows * (self.inner + self.columns)


@dataclass(frozen=True)
class Copy:
    """Memory read and written."""

    size_bytes: float

    @property
    def memory_bytes(self) -> float:
        """Both buffers."""
        return 2 * self.size_bytes


@dataclass(frozen=True)
class Decode:
    """One query token of each sequence against its cache, grouped-query attention in bf16."""

    sequences: int
    context_tokens: int
    heads: int
    kv_heads: int
    head_dim: int

    @property
    def memory_bytes(self) -> float:
        """Keys and values."""
        each = BF16_BYTES * 2 * self.kv_heads * self.head_dim
        return each * self.sequences * self.context_tokens


@dataclass(frozen=True)
class Launch:
    """Kernels that do next to nothing, one after the other."""

    kernels: int
    captured: bool
    """Replayed from a graph, as engines decode; else launched one by one."""

    @property
    def memory_bytes(self) -> float:
        """Next to nothing."""
        return 0.0


Work = Gemm | Copy | Decode | Launch


class Device(Protocol):
    """What can time work."""

    name: str
    """As the driver calls it."""
    software: str
    """Versions that the timings hold for."""
    memory_bytes: float
    """Free."""

    def times_s(self, work: Work, *, repeats: int) -> Sequence[float]:
        """Seconds of each repetition, after a warm-up."""


@dataclass(frozen=True)
class Timed:
    """Work and its median time."""

    work: Work
    median_s: float


@dataclass(frozen=True)
class Measured:
    """Rates that timings give."""

    flop_frac: float
    """Share of the dense bf16 peak of a matrix so large that its shape does not matter."""
    stream_frac: float
    """Share of the memory bandwidth at which a small batch streams weights."""
    kv_frac: float
    """Share of the memory bandwidth at which decode reads its cache."""
    copy_bytes_per_s: float
    launch_s: float
    """Of one kernel launched alone."""
    captured_s: float
    """Of one kernel in a graph."""


def works(memory_bytes: float) -> list[Work]:
    """What is timed on a device with so much memory; each fits twice."""
    every: list[Work] = [
        *(Copy(size) for size in COPY_BYTES),
        *(Gemm(DECODE_ROWS, side, side) for side in STREAM_SIDES),
        *(Gemm(PREFILL_ROWS, side, side) for side in SIDES),
        *(Decode(DECODE_SEQUENCES, context, HEADS, KV_HEADS, HEAD_DIM)
          for context in DECODE_CONTEXTS),
        Launch(KERNELS, captured=False),
        Launch(KERNELS, captured=True),
    ]  # fmt: skip
    return [work for work in every if 2 * work.memory_bytes <= memory_bytes]


def timed(device: Device, *, repeats: int = REPEATS, progress: Tell | None = None) -> list[Timed]:
    """Time everything; `progress` is told before each piece of work."""
    found: list[Timed] = []
    every = works(device.memory_bytes)
    for work in every:
        (progress or unheard)(Stage("time", Count(len(found), len(every), "pieces of work")))
        seconds = [s for s in device.times_s(work, repeats=repeats) if s > 0]
        if not seconds:
            raise ScenarioError(device.name, [f"no time was taken of {work}"])
        found.append(Timed(work, float(np.median(seconds))))
    return found


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Seconds per unit of size: the median over all pairs of points [1]_.

    Examples
    --------
    3 us a launch and 2 us a unit; one wild timing does not matter.

    >>> slope([1, 2, 3, 4, 5], [5e-6, 7e-6, 9e-6, 90e-6, 13e-6]) == 2e-6
    True
    """
    pairs = combinations(zip(sizes, seconds, strict=True), 2)
    return float(np.median([(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs]))


def reduced(
    times: Sequence[Timed], machine: Accelerator, calibration: Mapping[str, float]
) -> Measured:
    """Rates of a device as shares of its datasheet.

    Parameters
    ----------
    times : of `timed`.
    machine : catalog row of the accelerator.
    calibration : the model's half width of matrices, which shapes are judged by.

    Raises
    ------
    ScenarioError
        Where the datasheet has no rate to compare with, the device has too little memory to be
        measured, or it moves more than the datasheet allows: it is another one.
    """
    bandwidth = (machine.memory_tb_per_s or np.nan) * TERA
    peak = (machine.bf16_tflop_per_s or np.nan) * TERA
    if not np.isfinite(bandwidth * peak):
        raise ScenarioError(machine.title, ["its catalog row has no bandwidth or no bf16 peak"])
    copies = [t for t in times if isinstance(t.work, Copy)]
    small = [t for t in times if isinstance(t.work, Gemm) and t.work.rows == DECODE_ROWS]
    large = [t for t in times if isinstance(t.work, Gemm) and t.work.rows == PREFILL_ROWS]
    decodes = [t for t in times if isinstance(t.work, Decode)]
    if min(len(copies), len(small), len(large), len(decodes)) < 2:
        raise ScenarioError(machine.title, ["too little free memory: end what runs on the device"])
    copied = _bytes_per_s(copies)
    found = Measured(
        flop_frac=_flop_frac(large, peak, calibration),
        stream_frac=_bytes_per_s(small) / bandwidth,
        kv_frac=_bytes_per_s(decodes) / bandwidth,
        copy_bytes_per_s=copied,
        launch_s=_each(times, captured=False),
        captured_s=_each(times, captured=True),
    )
    above = {
        "copies memory": copied / bandwidth, "streams weights": found.stream_frac,
        "reads its cache": found.kv_frac, "multiplies": found.flop_frac,
    }  # fmt: skip
    wrong = [
        f"{what} at {share:.2f} of the datasheet of {machine.title}: another accelerator?"
        for what, share in above.items()
        if not 0 < share <= ABOVE_DATASHEET
    ]
    if wrong:
        raise ScenarioError("measured device", wrong)
    return found


def _bytes_per_s(times: Sequence[Timed]) -> float:
    return 1 / slope([t.work.memory_bytes for t in times], [t.median_s for t in times])


def _flop_frac(
    times: Sequence[Timed], peak_flop_per_s: float, calibration: Mapping[str, float]
) -> float:
    """Median over shapes of achieved over peak, without what the model takes for the shape."""
    shares = []
    for one in times:
        assert isinstance(one.work, Gemm)
        side = shape_frac(
            params=one.work.inner * one.work.columns, half_width=calibration["gemm_half_width"]
        )
        shares.append(one.work.flop / one.median_s / peak_flop_per_s / float(side))
    return float(np.median(shares)) / calibration["gemm_table_factor"]


def _each(times: Sequence[Timed], *, captured: bool) -> float:
    work = [t for t in times if isinstance(t.work, Launch) and t.work.captured == captured]
    return float(np.median([t.median_s / KERNELS for t in work])) if work else float("nan")


def accelerator_of(device: Device, wanted: str | None, catalog: Catalog) -> str:
    """Catalog name of a device: the one given, else by what its driver calls it.

    Raises
    ------
    ScenarioError : no row is meant, with the nearest names.
    """
    name = wanted or naming.accelerator_of(device.name, catalog)
    if name is None or name not in catalog.accelerators:
        known = naming.unknown("accelerator", wanted or device.name, catalog.accelerators)
        raise ScenarioError("--accelerator", [known])
    return name


def rows_of(
    found: Measured, accelerator: str, catalog: Catalog, *, software: str, today: date
) -> dict[str, dict[str, Any]]:
    """Calibration rows of the accelerator's generation, each with its source."""
    generation = catalog.accelerators[accelerator].generation
    source = f"planner calibrate device on {accelerator}, {software}"
    own = f"generation {generation}"
    sdpa = "torch's attention; an engine's own kernel may be faster"
    rows = {
        f"gemm_flop_{generation}_bf16_frac": (
            found.flop_frac, "share of dense datasheet peak", own,
            f"{PREFILL_ROWS} rows, sides {SIDES[0]} to {SIDES[-1]}"),
        f"stream_bf16_{generation}_frac": (
            found.stream_frac, "share of datasheet bandwidth", own,
            f"matrices by {DECODE_ROWS} rows; copies reach "
            f"{found.copy_bytes_per_s / GIGA:,.0f} GB/s"),
        f"stream_kv_{generation}_frac": (
            found.kv_frac, "share of datasheet bandwidth", own, sdpa),
        f"device_launch_{generation}_us": (
            found.launch_s / MICRO, "us per kernel", own,
            "recorded, not applied: the cost of a layer is an engine's"),
        f"device_captured_launch_{generation}_us": (
            found.captured_s / MICRO, "us per kernel in a graph", own,
            "recorded, not applied: the cost of a layer is an engine's"),
    }  # fmt: skip
    return {
        name: {
            "value": float(f"{value:.4g}"), "unit": unit, "applies_to": applies_to,
            "source": source, "as_of": today.isoformat(), "basis": "measured", "note": note,
        }
        for name, (value, unit, applies_to, note) in rows.items()
    }  # fmt: skip
