"""Result files of SGLang's `bench_serving`, one JSON object a line, appended run after run.

Read from sglang/benchmark/serving.py of PyPI sglang==0.5.23; the keys used here are the same in
sglang/bench_serving.py of 0.4 and 0.5. The file has no version of its own. `server_info` is what
the server answered about itself: SGLang's own server arguments and its version.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from planner.calibrate.reading import Fields, Load, Reading, known_numbers

TOOL = "sglang bench_serving"
KEYS = ("total_output_tokens_retokenized", "output_throughput", "median_ttft_ms")
_ARGUMENTS = {"tp": "tp_size", "pp": "pp_size", "dp": "dp_size", "ep": "ep_size"}


def reads(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is such a result."""
    return all(key in data for key in KEYS)


def read(data: Mapping[str, Any]) -> tuple[list[Reading], list[str]]:
    """Operating points and problems of one line."""
    found = Fields(data)
    completed, tokens = found.needed("completed"), found.needed("total_output_tokens")
    prompts, rate = found.needed("total_input_tokens"), found.needed("output_throughput")
    found.agree("output_throughput", rate, tokens, found.number("duration"))
    ttft, ttft_stat = found.first_ms({"median": "median_ttft_ms"}, "ms")
    tpot, tpot_stat = found.first_ms({"median(TPOT)": "median_tpot_ms"}, "ms")
    if tpot is None:  # versions before TPOT was a metric of its own
        tpot, tpot_stat = found.first_ms(
            {"median(ITL)": "median_itl_ms", "mean(ITL)": "mean_itl_ms"}, "ms"
        )
    accepted = found.number("accept_length")
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
        e2e_ms=found.ms("median_e2e_latency_ms", "ms"),
        stated=_stated(found),
        notes=(
            f"{completed:g} requests completed",
            known_numbers(
                mean_ttft=found.number("mean_ttft_ms"), p99_ttft=found.number("p99_ttft_ms"),
                mean_tpot=found.number("mean_tpot_ms"), p99_tpot=found.number("p99_tpot_ms"),
                achieved_concurrency=found.number("concurrency"),
            ),
            f"speculative decoding, {accepted:g} tokens a step" if accepted is not None else "",
        ),
        doubtful=accepted is not None,
    )  # fmt: skip
    return ([] if found.problems else [reading]), found.problems


def _load(found: Fields) -> Load | None:
    rate, limit = found.get("request_rate"), found.number("max_concurrency", least=1)
    if rate == "trace":
        found.problems.append("request_rate: replays a trace, which is no single load")
        return None
    if rate in (math.inf, "inf"):
        return Load("closed_loop", limit) if limit is not None else Load("inf", math.inf)
    return Load("poisson_qps", found.needed("request_rate"))


def _stated(found: Fields) -> dict[str, str | int]:
    """What the server said of itself; a server that is no SGLang says none of it."""
    server = Fields(found.get("server_info") or {})
    stated: dict[str, str | int] = {}
    if server.get("tp_size") is None:
        return stated
    stated["engine"] = "SGLang"
    for column, key in (("model", "model_path"), ("engine_version", "version")):
        if server.text(key):
            stated[column] = server.text(key)
    for column, argument in _ARGUMENTS.items():
        degree = server.whole(argument)
        if degree is not None:
            stated[column] = degree
    groups = server.whole("attn_dp_size") or 1  # 0.5.23; earlier versions use dp_size
    if groups > 1:
        stated["dp"] = groups
    if (groups > 1 or server.get("enable_dp_attention")) and "tp" in stated and "dp" in stated:
        # tp_size counts all accelerators; in the table tp is what one of dp attention groups has
        every, groups = int(stated["tp"]), int(stated["dp"])
        if every % groups:
            server.problems.append(f"tp_size: {every} is no multiple of {groups} attention groups")
        stated["tp"] = every // groups
    found.problems += [f"server_info.{problem}" for problem in server.problems]
    return stated
