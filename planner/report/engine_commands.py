"""Launch commands of the configurations that a plan chose: vLLM, SGLang and TensorRT-LLM.

What the performance model assumed becomes an argument: layout, formats, the most sequences and
tokens of a step, the share of memory. The engines count differently: vLLM and TensorRT-LLM take
sequences and tokens of one attention rank, SGLang those of all ranks together; vLLM takes its
memory as a share of the whole, TensorRT-LLM the cache as a share of what weights leave.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from planner.candidates.replicas import BUDGET_TOKENS, SEQUENCES_MAX
from planner.errors import ScenarioError
from planner.files.problems import meant
from planner.report.engine_arguments import ARGUMENTS
from planner.result import CandidateRow, Plan, whole_pools
from planner.schema.catalog import Catalog, Model, Speculator

Flags = dict[str, str | None]
"""Argument to its value; None for one that takes none."""
ONLINE = {"vllm": frozenset({"fp8"}), "sglang": frozenset({"fp8"})}
"""Formats into which an engine turns released 16-bit weights while it loads them."""
KV_WORDS = {
    "vllm": {"bf16": "auto", "fp8": "fp8", "int8": "int8_per_token_head"},
    "sglang": {"bf16": "bf16", "fp8": "fp8_e4m3"},
    "tensorrt-llm": {"bf16": "auto", "fp8": "fp8"},
}
PLAIN = frozenset({"bf16", "fp32"})


@dataclass(frozen=True)
class Command:
    """How to start one replica of a chosen configuration."""

    candidate: str
    demand_class: str
    engine: str
    checked_version: str
    """Version of the engine whose arguments were checked."""
    checkpoint: str
    """Repository that serves as it is; empty where a converted checkpoint is needed."""
    program: tuple[str, ...]
    """Words before the flags."""
    flags: Flags
    options: Mapping[str, Any] = field(default_factory=dict)
    """YAML file beside the command, dotted keys; empty where none is needed."""
    replicas: Mapping[str, list[float]] = field(default_factory=dict)
    """Replicas at the peak of each period, by site."""
    notes: tuple[str, ...] = ()
    role: str = ""
    """prefill or decode, of a disaggregated unit."""

    @property
    def name(self) -> str:
        """File name without suffix."""
        words = f"{self.candidate}-{self.role}" if self.role else self.candidate
        return re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-.")


@dataclass(frozen=True)
class _Replica:
    """What an engine's command is made from."""

    row: CandidateRow
    model: Model
    nodes: int
    usable_frac: float
    """Share of an accelerator's memory that the engine may take."""
    draft: Speculator | None = None
    """What proposes tokens; None without speculative decoding."""
    role: str = ""
    """prefill or decode, of a disaggregated unit."""

    @property
    def context(self) -> int:
        """Longest request that fits the model and the cache."""
        held = self.row.kv_tokens
        return min(self.model.max_context, int(held) if held else self.model.max_context)

    @property
    def total_gb(self) -> float:
        """Memory of one accelerator, NaN where the model was not asked."""
        parts = (self.row.weights_gb, self.row.overhead_gb, self.row.kv_gb)
        return sum(math.nan if p is None else p for p in parts) / self.usable_frac

    def step_tokens(self) -> int:
        """Most tokens of a step on one attention rank; a whole prompt where none is cut."""
        budget = int(BUDGET_TOKENS)
        return budget if self.chunked else max(budget, self.context)

    @property
    def chunked(self) -> bool:
        """Whether prompts are cut to share steps with decode."""
        return self.row.mode in ("chunked", "speculative", "disaggregated")


def commands(plan: Plan, catalog: Catalog) -> list[Command]:
    """Launch command of every configuration that serves in a plan.

    Parameters
    ----------
    plan : a solved plan.
    catalog : rows with the repositories of its models.

    Raises
    ------
    ScenarioError with every configuration that cannot be written as a command, and why.
    """
    rows = {row.id: row for row in plan.candidates}
    sites: dict[str, dict[str, list[float]]] = {}
    for pool in whole_pools(plan.pools):
        serves = min((rows[part.candidate] for part in pool.parts), key=_cache_tokens)
        sites.setdefault(serves.id, {})[pool.site] = list(pool.replicas_peak)
    found, problems = list[Command](), list[str]()
    for name, replicas in sites.items():
        wrong = list(_problems(rows[name], catalog))
        problems += [f"{name}: {text}" for text in wrong]
        if not wrong:
            found += _commands(rows[name], catalog, replicas)
    if not sites:
        problems.append("no machine serves in this plan: there is nothing to launch")
    if problems:
        raise ScenarioError("export engine", problems)
    return found


def _cache_tokens(row: CandidateRow) -> float:
    """What bounds a request; a pool that classes share has the least of theirs."""
    return math.inf if row.kv_tokens is None else row.kv_tokens


def _problems(row: CandidateRow, catalog: Catalog) -> Iterator[str]:
    if row.engine not in ARGUMENTS:
        yield (
            f"the engine is not stated or not known ({row.engine}): known are "
            f"{', '.join(ARGUMENTS)} (serving_table rows may name one)"
        )
    elif row.mode == "static":
        yield "static batches are collected in front of the engine: no argument of it does that"
    elif row.kv_dtype not in (*KV_WORDS[row.engine], "-"):
        yield f"{row.engine} has no {row.kv_dtype} KV cache"
    if row.model not in catalog.models:
        yield f"model {row.model} is not in the catalog: {meant(row.model, catalog.models)}"
    if row.accelerator not in catalog.accelerators:
        known = meant(row.accelerator, catalog.accelerators)
        yield f"accelerator {row.accelerator} is not in the catalog: {known}"
    if row.draft and row.draft not in catalog.speculators:
        yield f"draft {row.draft} is not in the catalog: {meant(row.draft, catalog.speculators)}"


def _commands(
    row: CandidateRow, catalog: Catalog, replicas: Mapping[str, list[float]]
) -> Iterator[Command]:
    """One command; of a disaggregated unit one for each role."""
    if row.decode is None:
        yield _command(row, catalog, replicas)
        return
    side = row.decode
    own = row.model_copy(update={"gpus": row.tp * row.pp * row.dp, "decode": None})
    names = ("accelerator", "tp", "pp", "ep", "dp", "gpus", "weights_gb", "overhead_gb", "kv_gb",
             "kv_tokens", "sequences_max")  # fmt: skip
    other = own.model_copy(update={name: getattr(side, name) for name in names})
    roles = (("prefill", own, row.prefill_replicas), ("decode", other, side.replicas))
    for role, one, copies in roles:
        each = {site: [n * copies for n in peak] for site, peak in replicas.items()}
        yield _command(one, catalog, each, role)


def _command(
    row: CandidateRow, catalog: Catalog, replicas: Mapping[str, list[float]], role: str = ""
) -> Command:
    accelerator, model = catalog.accelerators[row.accelerator], catalog.models[row.model]
    reach = max(accelerator.gpus_per_node, 1)
    replica = _Replica(
        row, model, -(-row.gpus // reach), float(catalog.calibration["memory_usable_frac"].value),
        catalog.speculators[row.draft] if row.draft else None, role,
    )  # fmt: skip
    program, flags, options = _ENGINES[row.engine](replica)
    known = ARGUMENTS[row.engine]
    assert set(flags) <= known.flags, set(flags) - known.flags
    assert set(options) <= known.keys, set(options) - known.keys
    return Command(
        candidate=row.id,
        demand_class=row.demand_class,
        engine=row.engine,
        checked_version=known.version,
        checkpoint=_checkpoint(replica),
        program=program,
        flags=flags,
        options=options,
        replicas=dict(replicas),
        notes=tuple(_notes(replica, accelerator.title)),
        role=role,
    )


def _checkpoint(replica: _Replica) -> str:
    """The model's repository where its weights can be loaded in the planned format."""
    row = replica.row
    released = replica.model.native_quantization
    asked = None if row.quantization in (*PLAIN, "-") else row.quantization
    fits = asked == released or (released is None and asked in ONLINE.get(row.engine, ()))
    return replica.model.hf_repo if fits or row.quantization == "-" else ""


def _notes(replica: _Replica, accelerator: str) -> Iterator[str]:
    row = replica.row
    yield f"{row.gpus} x {accelerator} a replica"
    if row.shares_with:
        served = " and ".join((row.demand_class, *row.shares_with))
        yield f"one pool for {served}, behind one router"
    if not _checkpoint(replica):
        repository, form = replica.model.hf_repo, row.quantization
        yield f"set MODEL to a checkpoint of {repository} in {form}"
    if row.quantization == "-":
        yield "the measured rate does not state a weight format: the released weights are served"
    if replica.draft is not None:
        yield (
            f"{replica.draft.title} drafts {replica.draft.drafted_tokens} tokens a step; planned "
            f"with {replica.draft.acceptance_frac:.0%} of them accepted: measure yours"
        )
    if replica.draft is not None and row.engine == "sglang":
        yield "SGLang does not mix chunks of prompts with decode beside a draft; the plan does"
    yield from _notes_of_role(replica)
    if row.kv_gb is None:
        yield "the rate was measured: memory and step limits are left to the engine"
    if replica.nodes > 1 and row.engine == "tensorrt-llm":
        yield f"spans {replica.nodes} nodes: start it under mpirun or srun, one rank a GPU"
    elif replica.nodes > 1:
        last = replica.nodes - 1
        yield f"spans {replica.nodes} nodes: run it on each, with NODE_RANK 0 to {last}"
    if replica.nodes > 1 and row.engine == "vllm" and row.dp > 1:
        yield "data-parallel ranks on several nodes need --data-parallel-size-local on each"


def _notes_of_role(replica: _Replica) -> Iterator[str]:
    """What a prefill or decode instance needs beside its arguments."""
    if not replica.role:
        return
    others = {"prefill": "decode", "decode": "prefill"}[replica.role]
    yield f"{replica.role} instance: KV caches move between it and the {others} instances by NIXL"
    if replica.row.engine == "vllm":
        yield (
            "set VLLM_NIXL_SIDE_CHANNEL_HOST to this host's address, and a port of its own in "
            "VLLM_NIXL_SIDE_CHANNEL_PORT for each instance on a host; a proxy sends each request "
            "to a prefill and then to a decode instance"
        )
    elif replica.row.engine == "sglang":
        yield "start sglang_router.launch_router --pd-disaggregation with all instances before them"
    else:
        yield "start trtllm-serve disaggregated with the addresses of all instances before them"
        yield (
            "cache_transceiver_config.max_tokens_in_buffer should hold your longest prompt; the "
            "buffer takes memory beside what is planned"
        )


def _online(replica: _Replica) -> Flags:
    """The flag that converts 16-bit weights while loading; checkpoints state their own format."""
    row = replica.row
    if replica.model.native_quantization is None and row.quantization in ONLINE[row.engine]:
        return {"--quantization": row.quantization}
    return {}


def _limits(replica: _Replica, flags: Flags) -> Flags:
    """Flags that rest on the performance model; none where the rate was measured."""
    return {} if replica.row.kv_gb is None else flags


def _hundredths(share: float) -> str:
    """A share rounded down to hundredths: never more memory than planned."""
    return f"{math.floor(share * 100 + 1e-9) / 100:.2f}"


def _vllm(replica: _Replica) -> tuple[tuple[str, ...], Flags, dict[str, Any]]:
    row = replica.row
    flags: Flags = {**_online(replica), "--tensor-parallel-size": str(row.tp)}
    flags |= {"--pipeline-parallel-size": str(row.pp)} if row.pp > 1 else {}
    flags |= {"--data-parallel-size": str(row.dp)} if row.dp > 1 else {}
    flags |= {"--enable-expert-parallel": None} if row.ep > 1 else {}
    if replica.nodes > 1:
        flags |= {"--nnodes": str(replica.nodes), "--node-rank": "$NODE_RANK",
                  "--master-addr": "$HEAD_ADDRESS"}  # fmt: skip
    if row.kv_dtype != "-":
        flags["--kv-cache-dtype"] = KV_WORDS["vllm"][row.kv_dtype]
    if replica.draft is not None:
        draft: dict[str, Any] = {"method": replica.draft.method}
        draft |= {"model": replica.draft.hf_repo} if replica.draft.hf_repo else {}
        draft["num_speculative_tokens"] = replica.draft.drafted_tokens
        flags["--speculative-config"] = json.dumps(draft)
    if replica.role:
        kind = {"prefill": "kv_producer", "decode": "kv_consumer"}[replica.role]
        moved = {"kv_connector": "NixlConnector", "kv_role": kind, "kv_load_failure_policy": "fail"}
        flags["--kv-transfer-config"] = json.dumps(moved)
    cut = "--enable-chunked-prefill" if replica.chunked else "--no-enable-chunked-prefill"
    return ("vllm", "serve", "$MODEL"), flags | _limits(replica, {
        "--gpu-memory-utilization": _hundredths(replica.usable_frac),
        "--max-model-len": str(replica.context),
        "--max-num-seqs": str(math.ceil(SEQUENCES_MAX / row.dp)),
        "--max-num-batched-tokens": str(replica.step_tokens()),
        cut: None,
        "--enable-prefix-caching": None,
    }), {}  # fmt: skip


def _sglang(replica: _Replica) -> tuple[tuple[str, ...], Flags, dict[str, Any]]:
    row = replica.row
    flags: Flags = {"--model-path": "$MODEL", **_online(replica)}
    flags["--tp-size"] = str(row.tp * row.dp)  # attention groups divide it
    flags |= {"--pp-size": str(row.pp)} if row.pp > 1 else {}
    flags |= {"--attn-dp-size": str(row.dp)} if row.dp > 1 else {}
    flags |= {"--ep-size": str(row.ep)} if row.ep > 1 else {}
    if replica.nodes > 1:
        flags |= {"--nnodes": str(replica.nodes), "--node-rank": "$NODE_RANK",
                  "--dist-init-addr": "$HEAD_ADDRESS:50000"}  # fmt: skip
    if row.kv_dtype != "-":
        flags["--kv-cache-dtype"] = KV_WORDS["sglang"][row.kv_dtype]
    held = (row.weights_gb or 0.0) + (row.kv_gb or 0.0)
    limits: Flags = {
        "--mem-fraction-static": _hundredths(held / replica.total_gb) if row.kv_gb else "",
        "--context-length": str(replica.context),
        "--max-running-requests": str(int(SEQUENCES_MAX)),
    }
    if replica.draft is not None:
        flags |= _sglang_draft(replica.draft)
    if replica.role:
        flags |= {"--disaggregation-mode": replica.role,
                  "--disaggregation-transfer-backend": "nixl"}  # fmt: skip
    if replica.chunked:
        tokens = replica.step_tokens() * row.dp
        limits["--chunked-prefill-size"] = str(tokens)
        # SGLang switches mixed chunks off beside a draft; a disaggregated instance mixes nothing.
        limits |= {} if replica.draft or replica.role else {"--enable-mixed-chunk": None}
    else:
        tokens = replica.step_tokens()
        limits |= {"--chunked-prefill-size": "-1", "--max-prefill-tokens": str(tokens)}
    return ("python", "-m", "sglang.launch_server"), flags | _limits(replica, limits), {}


def _sglang_draft(draft: Speculator) -> Flags:
    """A chain of drafts; the model's own layer goes by the name of EAGLE."""
    flags: Flags = {"--speculative-algorithm": "EAGLE3" if draft.method == "eagle3" else "EAGLE"}
    flags |= {"--speculative-draft-model-path": draft.hf_repo} if draft.hf_repo else {}
    return flags | {
        "--speculative-num-steps": str(draft.drafted_tokens),
        "--speculative-eagle-topk": "1",
        "--speculative-num-draft-tokens": str(draft.drafted_tokens + 1),
    }


def _tensorrt_llm(replica: _Replica) -> tuple[tuple[str, ...], Flags, dict[str, Any]]:
    row = replica.row
    flags: Flags = {"--backend": "pytorch", "--tp_size": str(row.tp * row.dp)}
    flags |= {"--pp_size": str(row.pp)} if row.pp > 1 else {}
    flags |= {"--ep_size": str(row.ep)} if row.ep > 1 else {}
    if replica.nodes > 1:
        flags["--gpus_per_node"] = str(row.gpus // replica.nodes)
    limits: Flags = {
        "--max_batch_size": str(math.ceil(SEQUENCES_MAX / row.dp)),
        "--max_num_tokens": str(replica.step_tokens()),
        "--max_seq_len": str(replica.context),
    }
    limits |= {"--enable_chunked_prefill": None} if replica.chunked else {}
    options: dict[str, Any] = {"kv_cache_config.enable_block_reuse": True}
    if row.kv_dtype != "-":
        options["kv_cache_config.dtype"] = KV_WORDS["tensorrt-llm"][row.kv_dtype]
    if row.kv_gb is not None:
        left = replica.total_gb - (row.weights_gb or 0.0) - (row.overhead_gb or 0.0)
        share = float(_hundredths(row.kv_gb / left))
        options["kv_cache_config.free_gpu_memory_fraction"] = share
    if row.dp > 1:
        options["enable_attention_dp"] = True
    if replica.draft is not None:
        kind = "Eagle3" if replica.draft.method == "eagle3" else "MTP"
        options["speculative_config.decoding_type"] = kind
        options["speculative_config.max_draft_len"] = replica.draft.drafted_tokens
        if replica.draft.hf_repo:
            options["speculative_config.speculative_model"] = replica.draft.hf_repo
    if replica.role:
        options["cache_transceiver_config.backend"] = "NIXL"
    if replica.role == "prefill":
        options["disable_overlap_scheduler"] = True  # context servers do not support it
    flags |= _limits(replica, limits)
    flags["--extra_llm_api_options"] = "$OPTIONS"
    return ("trtllm-serve", "$MODEL"), flags, options


_ENGINES: Mapping[str, Callable[[_Replica], tuple[tuple[str, ...], Flags, dict[str, Any]]]] = {
    "vllm": _vllm,
    "sglang": _sglang,
    "tensorrt-llm": _tensorrt_llm,
}


def options_yaml(command: Command) -> str:
    """The YAML file beside a command; empty where it needs none."""
    nested: dict[str, Any] = {}
    for path, value in command.options.items():
        at, *below = path.split(".")
        if below:
            nested.setdefault(at, {})[below[0]] = value
        else:
            nested[at] = value
    return yaml.safe_dump(nested, sort_keys=True) if nested else ""


def script(command: Command) -> str:
    """A shell script that starts one replica."""
    lines = ["#!/bin/sh", "set -eu", f"# {command.candidate}"]
    lines += [f"# {command.role}"] if command.role else []
    for site, peak in command.replicas.items():
        counts = ", ".join(f"{n:g}" for n in peak)
        lines.append(f"# {site}: {counts} replicas at the peak of each period")
    checked = f"{command.engine} {command.checked_version}"
    lines += [f"# {note}" for note in (*command.notes, f"arguments checked against {checked}")]
    lines.append(_model_line(command))
    if command.options:
        lines.append(f'OPTIONS="${{OPTIONS:-$(dirname "$0")/{command.name}.yaml}}"')
    words = [*command.program]
    pairs = [flag if value is None else f"{flag} {_word(value)}"
             for flag, value in command.flags.items()]  # fmt: skip
    start = " ".join(map(_word, words))
    return "\n".join([*lines, " \\\n    ".join([f"exec {start}", *pairs])]) + "\n"


def _model_line(command: Command) -> str:
    if command.checkpoint:
        return f'MODEL="${{MODEL:-{command.checkpoint}}}"'
    return ': "${MODEL:?a checkpoint in the planned format, see above}"'


def _word(text: str) -> str:
    """A word for the shell; names of variables stay what they are."""
    return f'"{text}"' if text.startswith("$") else shlex.quote(text)
