"""Result files of `vllm bench serve --save-result`, one JSON object a run.

Read from vllm/benchmarks/serve.py of github.com/vllm-project/vllm at commit 009e6d4a (2026) and
the same keys back to the first `vllm bench serve` (0.9): the file has no version of its own, so
its keys identify it. `--append-result` writes several objects, one a line. `--metadata` adds keys
of the user's choice; `version`, `tp`, `pp`, `dp`, `ep` are understood as vLLM's help suggests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from planner.calibrate.reading import FAILED_MAX_FRAC, Fields, Load, Reading, known_numbers

TOOL = "vllm bench serve"
KEYS = ("model_id", "request_throughput", "total_token_throughput")
"""What tells its files from others."""
POOLING_KEY = "input_sequence_throughput"
SECONDS_IN_NAME = len("20261121-093000")


def reads(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is such a result."""
    return all(key in data for key in KEYS)


def read(data: Mapping[str, Any]) -> tuple[list[Reading], list[str]]:
    """Operating points and problems of one result."""
    if POOLING_KEY in data:
        return [], ["is a benchmark of embeddings (it has input_sequence_throughput)"]
    found = Fields(data)
    completed, tokens = found.needed("completed"), found.needed("total_output_tokens")
    prompts, rate = found.needed("total_input_tokens"), found.needed("output_throughput")
    found.agree("output_throughput", rate, tokens, found.number("duration"))
    ttft, ttft_stat = found.first_ms(
        {"median": "median_ttft_ms", "mean": "mean_ttft_ms"}, "ms"
    )  # fmt: skip
    tpot, tpot_stat = found.first_ms(
        {"median(TPOT)": "median_tpot_ms", "mean(TPOT)": "mean_tpot_ms"}, "ms"
    )
    e2e, _ = found.first_ms({"median": "median_e2el_ms", "mean": "mean_e2el_ms"}, "ms")
    failed = found.number("failed") or 0.0
    speculative = found.number("spec_decode_acceptance_length")
    reading = Reading(
        tool=TOOL,
        isl_tokens=prompts / completed,
        osl_tokens=tokens / completed,
        output_tok_s=rate,
        load=_load(found),
        ttft_ms=ttft,
        ttft_stat=ttft_stat,
        tpot_ms=tpot,
        tpot_stat=tpot_stat,
        e2e_ms=e2e,
        measured_date=_day(found),
        stated=_stated(found),
        notes=_notes(found, completed, failed, speculative),
        doubtful=speculative is not None or failed > FAILED_MAX_FRAC * (completed + failed),
    )
    return ([] if found.problems else [reading]), found.problems


def _load(found: Fields) -> Load | None:
    """Concurrency caps a rate of inf; a finite rate is offered with gamma gaps of burstiness."""
    if found.get("ramp_up_strategy") is not None:
        found.problems.append("ramp_up_strategy: the rate changes during the run")
        return None
    rate, limit = found.get("request_rate"), found.number("max_concurrency", least=1)
    if rate in ("inf", math.inf):
        return Load("closed_loop", limit) if limit is not None else Load("inf", math.inf)
    offered = found.needed("request_rate")
    burstiness = found.number("burstiness")
    return Load("poisson_qps" if burstiness in (None, 1.0) else "qps", offered)


def _stated(found: Fields) -> dict[str, str | int]:
    texts = {"model": found.text("model_id"), "engine_version": found.text("version")}
    stated: dict[str, str | int] = {name: text for name, text in texts.items() if text}
    for name in ("tp", "pp", "dp", "ep"):
        text = found.get(name)
        if text is None:
            continue
        if str(text).isdecimal() and int(text) > 0:
            stated[name] = int(text)
        else:
            found.problems.append(f"{name}: expected a whole number, found {text!r}")
    return stated


def _day(found: Fields) -> str:
    text = found.text("date")
    if len(text) == SECONDS_IN_NAME and text[:8].isdecimal():
        return f"{text[:4]}-{text[4:6]}-{text[6:8]}"
    return ""


def _notes(
    found: Fields, completed: float, failed: float, speculative: float | None
) -> tuple[str, ...]:
    limit = found.number("max_concurrency")
    capped = found.get("request_rate") not in ("inf", math.inf) and limit is not None
    return (
        f"{completed:g} requests completed, {failed:g} failed",
        known_numbers(
            mean_ttft=found.number("mean_ttft_ms"), p99_ttft=found.number("p99_ttft_ms"),
            mean_tpot=found.number("mean_tpot_ms"), p99_tpot=found.number("p99_tpot_ms"),
            request_throughput=found.number("request_throughput"),
        ),
        f"at most {limit:g} in flight" if capped else "",
        f"speculative decoding, {speculative:g} tokens a step" if speculative is not None else "",
    )  # fmt: skip
