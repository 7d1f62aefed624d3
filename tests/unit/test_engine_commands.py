"""Launch commands of chosen configurations, argument by argument."""

import json
import subprocess

import pytest
import yaml
from click.testing import CliRunner

from planner.cli import group
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog
from planner.report.engine_arguments import ARGUMENTS
from planner.report.engine_commands import commands, options_yaml, script
from planner.result import CandidateRow
from tests.plan_fixture import small_plan

# A B200 as the planner sees it: 40 GB weights, 6 overhead, 46 cache; 92 of 100 GB usable.
MEMORY = {"weights_gb": 40.0, "overhead_gb": 6.0, "kv_gb": 46.0, "kv_tokens": 90_000.0}


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def row(*, engine="vllm", model="llama-3.1-8b", accelerator="h100-sxm", quantization="fp8",
        kv_dtype="fp8", mode="chunked", tp=1, pp=1, dp=1, ep=1, **more):  # fmt: skip
    layout = f"tp{tp}pp{pp}dp{dp}ep{ep}"
    identity = f"chat/{model}/{accelerator}/{quantization}+kv-{kv_dtype}/{engine}/{layout}/{mode}"
    return CandidateRow(
        id=identity, demand_class="chat", model=model, accelerator=accelerator,
        quantization=quantization, kv_dtype=kv_dtype, engine=engine, tp=tp, pp=pp, dp=dp, ep=ep,
        mode=mode, gpus=tp * pp * dp, feasible=True, **{**MEMORY, **more},
    )  # fmt: skip


def plan_of(*rows):
    plan = small_plan()
    pools = [plan.pools[0].model_copy(update={"candidate": r.id, "site": "hq"}) for r in rows]
    return plan.model_copy(update={"candidates": list(rows), "pools": pools})


def one(catalog, **fields):
    (found,) = commands(plan_of(row(**fields)), catalog)
    return found


def test_vllm_takes_its_memory_as_a_share_of_the_whole(catalog):
    found = one(catalog, tp=2)
    assert found.program == ("vllm", "serve", "$MODEL")
    assert found.flags == {
        "--quantization": "fp8", "--tensor-parallel-size": "2", "--kv-cache-dtype": "fp8",
        "--gpu-memory-utilization": "0.92", "--max-model-len": "90000", "--max-num-seqs": "256",
        "--max-num-batched-tokens": "8192", "--enable-chunked-prefill": None,
        "--enable-prefix-caching": None,
    }  # fmt: skip
    assert found.checkpoint == "meta-llama/Llama-3.1-8B"


def test_sglang_takes_weights_and_cache_as_a_share(catalog):
    found = one(catalog, engine="sglang", kv_dtype="bf16", quantization="bf16")
    # (40 + 46) of 100 GB
    assert found.flags["--mem-fraction-static"] == "0.86"
    assert found.flags["--kv-cache-dtype"] == "bf16"
    assert found.flags["--chunked-prefill-size"] == "8192"
    assert "--quantization" not in found.flags


def test_tensorrt_llm_takes_the_cache_as_a_share_of_what_is_left(catalog):
    found = one(catalog, engine="tensorrt-llm")
    # 46 of 100 - 40 - 6 = 54 GB: 0.85
    assert yaml.safe_load(options_yaml(found)) == {
        "kv_cache_config": {
            "dtype": "fp8", "enable_block_reuse": True, "free_gpu_memory_fraction": 0.85,
        }
    }  # fmt: skip
    assert found.flags["--max_num_tokens"] == "8192"
    # it loads no 16-bit weights as fp8
    assert found.checkpoint == ""
    assert ': "${MODEL:?' in script(found)


def test_attention_ranks_are_counted_as_each_engine_counts_them(catalog):
    asked = {"model": "deepseek-v3", "accelerator": "h200-sxm", "tp": 1, "dp": 8, "ep": 8}
    vllm, sglang, trt = (one(catalog, engine=e, **asked) for e in ARGUMENTS)
    # 256 sequences over 8 ranks are 32 each; each rank's step has 8,192 tokens
    assert (vllm.flags["--data-parallel-size"], vllm.flags["--tensor-parallel-size"]) == ("8", "1")
    assert (vllm.flags["--max-num-seqs"], vllm.flags["--max-num-batched-tokens"]) == ("32", "8192")
    assert "--enable-expert-parallel" in vllm.flags
    assert (sglang.flags["--tp-size"], sglang.flags["--attn-dp-size"]) == ("8", "8")
    assert sglang.flags["--max-running-requests"] == "256"
    assert sglang.flags["--chunked-prefill-size"] == "65536"
    assert (trt.flags["--tp_size"], trt.flags["--ep_size"]) == ("8", "8")
    assert trt.flags["--max_batch_size"] == "32"
    assert trt.options["enable_attention_dp"] is True
    # its weights are released in fp8: no conversion, no other checkpoint
    assert {c.checkpoint for c in (vllm, sglang, trt)} == {"deepseek-ai/DeepSeek-V3"}
    assert "--quantization" not in vllm.flags


def test_whole_prompts_need_a_step_that_holds_them(catalog):
    vllm = one(catalog, mode="continuous")
    assert vllm.flags["--max-num-batched-tokens"] == vllm.flags["--max-model-len"] == "90000"
    assert "--no-enable-chunked-prefill" in vllm.flags
    sglang = one(catalog, engine="sglang", mode="continuous")
    assert sglang.flags["--chunked-prefill-size"] == "-1"
    assert sglang.flags["--max-prefill-tokens"] == "90000"
    trt = one(catalog, engine="tensorrt-llm", mode="continuous")
    assert "--enable_chunked_prefill" not in trt.flags


def test_a_format_that_no_engine_makes_needs_its_own_checkpoint(catalog):
    found = one(catalog, quantization="int4-awq")
    assert found.checkpoint == ""
    assert "set MODEL to a checkpoint of meta-llama/Llama-3.1-8B in int4-awq" in found.notes


def test_replicas_that_span_nodes_say_so(catalog):
    asked = {"model": "llama-3.1-405b", "tp": 8, "pp": 2}
    vllm, sglang, trt = (one(catalog, engine=e, **asked) for e in ARGUMENTS)
    assert vllm.flags["--nnodes"] == sglang.flags["--nnodes"] == "2"
    assert '--node-rank "$NODE_RANK"' in script(vllm)
    assert '--dist-init-addr "$HEAD_ADDRESS:50000"' in script(sglang)
    assert trt.flags["--gpus_per_node"] == "8"


LAYOUTS = [
    {"tp": 4}, {"tp": 8, "pp": 2}, {"tp": 1, "dp": 8, "ep": 8}, {"tp": 8, "ep": 8},
    {"tp": 1, "dp": 16, "ep": 16},
]  # fmt: skip


@pytest.mark.parametrize("engine", ARGUMENTS)
@pytest.mark.parametrize("mode", ["chunked", "continuous", "measured"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_argument_is_documented(catalog, engine, mode, layout):
    for quantization in ("bf16", "fp8", "int4-awq", "nvfp4"):
        for kv in ("bf16", "fp8"):
            unknown = dict.fromkeys(MEMORY) if mode == "measured" else {}
            found = one(catalog, engine=engine, mode=mode, model="deepseek-r1",
                        quantization=quantization, kv_dtype=kv, **layout, **unknown)  # fmt: skip
            assert set(found.flags) <= ARGUMENTS[engine].flags
            assert set(found.options) <= ARGUMENTS[engine].keys
            words = [w for line in script(found).splitlines() if not line.startswith("#")
                     for w in line.split() if w.startswith("--")]  # fmt: skip
            assert set(words) <= ARGUMENTS[engine].flags
            assert words


def test_every_documented_list_names_version_and_source():
    for known in ARGUMENTS.values():
        assert known.version
        assert "github.com" in known.source or "pypi" in known.source.lower()


def test_scripts_are_valid_shell_and_start_the_program(catalog, tmp_path):
    found = one(catalog, tp=2)
    fake = tmp_path / "vllm"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    path = tmp_path / "launch.sh"
    path.write_text(script(found))
    done = subprocess.run(
        ["sh", path], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.startswith("serve meta-llama/Llama-3.1-8B --quantization fp8 --tensor")


def test_a_script_without_its_checkpoint_stops_and_says_so(catalog, tmp_path):
    path = tmp_path / "launch.sh"
    path.write_text(script(one(catalog, quantization="int4-awq")))
    done = subprocess.run(["sh", path], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "a checkpoint in the planned format" in done.stderr


def test_a_measured_rate_leaves_memory_to_the_engine(catalog):
    unknown = dict.fromkeys(MEMORY)
    found = one(catalog, mode="measured", quantization="-", kv_dtype="-", **unknown)
    assert found.flags == {"--tensor-parallel-size": "1"}
    assert found.checkpoint == "meta-llama/Llama-3.1-8B"


def test_all_that_cannot_be_written_is_named_at_once(catalog):
    bad = [row(engine="-"), row(engine="sglang", kv_dtype="int8"), row(model="llama-9")]
    with pytest.raises(ScenarioError) as refused:
        commands(plan_of(*bad, row()), catalog)
    assert len(refused.value.problems) == 3
    assert "serving_table rows may name one" in refused.value.problems[0]
    assert "sglang has no int8 KV cache" in refused.value.problems[1]
    assert "model llama-9 is not in the catalog: did you mean" in refused.value.problems[2]


def test_a_plan_of_apis_alone_has_nothing_to_launch(catalog):
    with pytest.raises(ScenarioError, match="nothing to launch"):
        commands(plan_of(), catalog)


def test_command_writes_scripts_and_json(tmp_path):
    plan = tmp_path / "plan.json"
    chosen = row(engine="tensorrt-llm")
    plan.write_text(plan_of(chosen, row()).model_dump_json())
    runner = CliRunner()
    done = runner.invoke(group, ["export", "engine", str(plan), "-o", str(tmp_path / "launch")])
    assert done.exit_code == 0, done.output
    names = sorted(path.suffix for path in (tmp_path / "launch").iterdir())
    assert names == [".sh", ".sh", ".yaml"]
    listed = json.loads(runner.invoke(group, ["export", "engine", str(plan), "--json"]).stdout)
    assert [one["engine"] for one in listed] == ["tensorrt-llm", "vllm"]
    assert listed[0]["options_yaml"].startswith("kv_cache_config:")
    assert runner.invoke(group, ["export", "engine", str(plan)]).stdout.count("exec ") == 2


def test_drafts_are_named_to_each_engine(catalog):
    drafted = {"mode": "speculative", "draft": "eagle3-llama-3.1-8b"}
    head = catalog.speculators["eagle3-llama-3.1-8b"].hf_repo
    vllm = one(catalog, **drafted)
    assert json.loads(vllm.flags["--speculative-config"]) == {
        "method": "eagle3", "model": head, "num_speculative_tokens": 3,
    }  # fmt: skip
    assert vllm.flags["--max-num-batched-tokens"] == "8192"
    assert "--enable-chunked-prefill" in vllm.flags
    assert "65% of them accepted" in " ".join(vllm.notes)
    sglang = one(catalog, engine="sglang", **drafted).flags
    assert sglang["--speculative-algorithm"] == "EAGLE3"
    assert sglang["--speculative-draft-model-path"] == head
    # A chain: three runs of the draft, each with its best token, and the sampled one verified too.
    chain = (
        "--speculative-num-steps",
        "--speculative-eagle-topk",
        "--speculative-num-draft-tokens",
    )
    assert [sglang[flag] for flag in chain] == ["3", "1", "4"]
    assert "--enable-mixed-chunk" not in sglang
    trt = yaml.safe_load(options_yaml(one(catalog, engine="tensorrt-llm", **drafted)))
    assert trt["speculative_config"] == {
        "decoding_type": "Eagle3", "max_draft_len": 3, "speculative_model": head,
    }  # fmt: skip


def test_a_layer_of_the_models_own_needs_no_repository(catalog):
    own = {"mode": "speculative", "draft": "mtp-deepseek-v3", "model": "deepseek-v3", "tp": 8}
    vllm = json.loads(one(catalog, **own).flags["--speculative-config"])
    assert vllm == {"method": "mtp", "num_speculative_tokens": 1}
    sglang = one(catalog, engine="sglang", **own).flags
    assert sglang["--speculative-algorithm"] == "EAGLE"
    assert "--speculative-draft-model-path" not in sglang
    trt = yaml.safe_load(options_yaml(one(catalog, engine="tensorrt-llm", **own)))
    assert trt["speculative_config"] == {"decoding_type": "MTP", "max_draft_len": 1}
