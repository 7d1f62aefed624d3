"""Small result files made from the formats' documented fields, imported as points."""

import json
import math
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from planner.calibrate.reading import Load
from planner.calibrate.result_files import COLUMNS, Options, from_csv, import_files, to_csv
from planner.cli import group
from planner.errors import ScenarioError

HERE = Options({"hardware": "H100-SXM-80GB", "engine": "vLLM", "tp": 2, "weight_precision": "fp8"})

VLLM = {
    "date": "20261102-093000", "endpoint_type": "vllm", "backend": "vllm", "label": "vllm",
    "model_id": "meta-llama/Llama-3.1-8B-Instruct", "tokenizer_id": "x", "num_prompts": 200,
    "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 16, "duration": 50.0,
    "completed": 200, "failed": 0, "total_input_tokens": 200_000, "total_output_tokens": 40_000,
    "request_throughput": 4.0, "request_goodput": None, "output_throughput": 800.0,
    "total_token_throughput": 4800.0, "mean_ttft_ms": 62.5, "median_ttft_ms": 60.0,
    "std_ttft_ms": 3.0, "p99_ttft_ms": 81.0, "mean_tpot_ms": 18.5, "median_tpot_ms": 18.0,
    "std_tpot_ms": 1.0, "p99_tpot_ms": 22.0, "mean_itl_ms": 18.4, "median_itl_ms": 17.9,
    "std_itl_ms": 1.0, "p99_itl_ms": 25.0,
}  # fmt: skip

SGLANG = {
    "tag": None, "backend": "sglang", "dataset_name": "random", "request_rate": 4.0,
    "max_concurrency": None, "random_input_len": 1024, "random_output_len": 128,
    "random_range_ratio": 1.0, "duration": 100.0, "completed": 400,
    "server_info": {"model_path": "Qwen/Qwen3-8B", "version": "0.5.23", "tp_size": 4,
                    "pp_size": 1, "dp_size": 2, "ep_size": 1, "enable_dp_attention": True},
    "total_input_tokens": 409_600, "total_output_tokens": 51_200,
    "total_output_tokens_retokenized": 51_190, "request_throughput": 4.0,
    "input_throughput": 4096.0, "output_throughput": 512.0, "mean_e2e_latency_ms": 1500.0,
    "median_e2e_latency_ms": 1450.0, "mean_ttft_ms": 55.0, "median_ttft_ms": 50.0,
    "p99_ttft_ms": 90.0, "mean_tpot_ms": 11.5, "median_tpot_ms": 11.0, "p99_tpot_ms": 14.0,
    "mean_itl_ms": 11.4, "median_itl_ms": 10.9, "p99_itl_ms": 15.0, "concurrency": 6.0,
    "accept_length": None,
}  # fmt: skip


def summary(mean, median, p99):
    return {"successful": {"mean": mean, "median": median, "percentiles": {"p99": p99}}}


def benchmark(strategy, **metrics):
    return {
        "config": {"strategy": strategy, "backend": {"model": "Qwen/Qwen3-8B"}},
        "scheduler_metrics": {"start_time": 1_793_577_600.0},  # 2026-11-02 00:00 UTC
        "metrics": {
            "request_totals": {"successful": 99, "errored": 1, "incomplete": 0, "total": 100},
            "prompt_token_count": summary(1000.0, 1000.0, 1000.0),
            "output_token_count": summary(250.0, 250.0, 250.0),
            "output_tokens_per_second": summary(900.0, 890.0, 950.0),
            "time_to_first_token_ms": summary(70.0, 66.0, 120.0),
            "inter_token_latency_ms": summary(9.5, 9.0, 12.0),
            "request_latency": summary(2.5, 2.4, 3.0),
            **metrics,
        },
    }


def guidellm(*benchmarks, version=2):
    return {
        "metadata": {"version": version, "guidellm_version": "0.8.1"},
        "config": {}, "benchmarks": list(benchmarks),
    }  # fmt: skip


def metric(unit, **stats):
    return {"unit": unit, **stats}


AIPERF = {
    "schema_version": "1.4", "aiperf_version": "0.13.0",
    "output_token_throughput": metric("tokens/sec", avg=640.0),
    "time_to_first_token": metric("ms", avg=48.0, p50=45.0, p99=80.0),
    "inter_token_latency": metric("us", avg=12_500.0, p50=12_000.0, p99=15_000.0),
    "request_latency": metric("ms", avg=3100.0, p50=3000.0),
    "input_sequence_length": metric("tokens", avg=550.0),
    "output_sequence_length": metric("tokens", avg=256.0),
    "request_count": metric("requests", avg=120.0),
    "input_config": {
        "models": {"items": [{"name": "Qwen/Qwen3-8B"}]},
        "phases": [{"name": "warmup", "type": "concurrency", "concurrency": 2},
                   {"name": "profiling", "type": "concurrency", "concurrency": 8}],
    },
    "was_cancelled": False, "is_complete": True, "start_time": "2026-11-02T10:00:00",
}  # fmt: skip

GENAI_PERF = {
    **{k: v for k, v in AIPERF.items() if k not in ("schema_version", "aiperf_version")},
    "input_config": {
        "model_names": ["Qwen/Qwen3-8B"],
        "perf_analyzer": {"stimulus": {"request_rate": 3.0}},
    },
}

CSV = """Metric,avg,min,max,p99,p95,p90,p75,p50
Time To First Token (ms),"1,048.00",900.00,"2,000.00","1,900.00",N/A,N/A,N/A,"1,010.00"
Inter Token Latency (ms),12.50,10.00,16.00,15.00,14.00,13.50,13.00,12.00
Input Sequence Length (tokens),550.00,550.00,550.00,550.00,550.00,550.00,550.00,550.00
Output Sequence Length (tokens),256.00,250.00,260.00,260.00,259.00,258.00,257.00,256.00

Metric,Value
Output Token Throughput (tokens/sec),"1,640.00"
Request Throughput (per sec),6.41
"""


def written(folder: Path, name, content):
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text)
    return path


def one(folder, content, options=HERE, name="run.json"):
    found = import_files([written(folder, name, content)], options)
    assert found.problems == []
    assert len(found.points) == 1
    return found.points[0]


def test_vllm_closed_loop(tmp_path):
    point = one(tmp_path, VLLM)
    # 200,000 / 200 = 1000 prompt and 40,000 / 200 = 200 generated tokens; 800 / 2 GPUs = 400.
    assert (point["isl"], point["osl"], point["output_tok_s_per_gpu"]) == ("1000", "200", "400")
    assert (point["load_kind"], point["mode"], point["concurrency_or_qps"]) == (
        "closed_loop", "concurrency", "16",
    )  # fmt: skip
    assert (point["ttft_ms"], point["ttft_stat"]) == ("60", "median")
    assert (point["itl_or_tpot_ms"], point["itl_stat"]) == ("18", "median(TPOT)")
    assert (point["measured_date"], point["trust"]) == ("2026-11-02", "A")
    assert point["model"] == "meta-llama/Llama-3.1-8B-Instruct"


@pytest.mark.parametrize(
    ("changes", "kind", "load"),
    [
        ({"max_concurrency": None}, "inf", "inf"),
        ({"request_rate": 2.5, "max_concurrency": None}, "poisson_qps", "2.5"),
        ({"request_rate": 2.5, "burstiness": 0.5}, "qps", "2.5"),
    ],
)
def test_vllm_open_loop(tmp_path, changes, kind, load):
    point = one(tmp_path, {**VLLM, **changes})
    assert (point["load_kind"], point["concurrency_or_qps"]) == (kind, load)


def test_vllm_metadata_states_the_layout_and_contradictions_are_refused(tmp_path):
    path = written(tmp_path, "run.json", {**VLLM, "tp": "4", "version": "0.24.0"})
    found = import_files([path], HERE)
    assert found.points == []
    assert found.problems == [f"{path}: states tp 4, --tp says 2"]
    silent = Options({name: HERE.columns[name] for name in HERE.columns if name != "tp"})
    (point,) = import_files([path], silent).points
    assert (point["tp"], point["n_gpus"], point["engine_version"]) == ("4", "4", "0.24.0")


def test_vllm_appended_results_are_several_points(tmp_path):
    lines = "\n".join(json.dumps({**VLLM, "max_concurrency": c}) for c in (1, 2, 4))
    found = import_files([written(tmp_path, "sweep.json", lines)], HERE)
    assert [p["concurrency_or_qps"] for p in found.points] == ["1", "2", "4"]
    assert len({p["id"] for p in found.points}) == 3


def test_speculative_decoding_and_failures_are_not_to_be_tuned_on(tmp_path):
    assert one(tmp_path, {**VLLM, "spec_decode_acceptance_length": 2.4})["trust"] == "C"
    # 3 of 203 requests are 1.5 %, above the 1 % allowed
    assert one(tmp_path, {**VLLM, "failed": 3})["trust"] == "C"
    assert one(tmp_path, {**VLLM, "failed": 2})["trust"] == "A"


def test_a_rate_that_its_own_tokens_contradict_is_refused(tmp_path):
    path = written(tmp_path, "run.json", {**VLLM, "output_throughput": 4800.0})
    (problem,) = import_files([path], HERE).problems
    assert "4800 tokens/s, but 40000 tokens in 50 s are 800" in problem


def test_sglang_line_with_what_the_server_said(tmp_path):
    options = Options({"hardware": "H200-SXM-141GB", "weight_precision": "bf16"})
    point = one(tmp_path, json.dumps(SGLANG) + "\n", options, "sglang.jsonl")
    assert (point["engine"], point["engine_version"]) == ("SGLang", "0.5.23")
    assert (point["model"], point["tp"], point["dp"], point["n_gpus"]) == (
        "Qwen/Qwen3-8B", "2", "2", "4",
    )  # fmt: skip
    # 409,600 / 400 = 1024; 51,200 / 400 = 128; 512 tokens/s over 4 GPUs = 128
    assert (point["isl"], point["osl"], point["output_tok_s_per_gpu"]) == ("1024", "128", "128")
    assert (point["load_kind"], point["concurrency_or_qps"]) == ("poisson_qps", "4")
    assert (point["itl_or_tpot_ms"], point["e2e_ms"]) == ("11", "1450")


def test_sglang_names_attention_groups_in_two_ways(tmp_path):
    # 0.5.23 resolves `--dp-size 2 --enable-dp-attention` into attn_dp_size 2, dp_size 1
    new = {**SGLANG["server_info"], "dp_size": 1, "attn_dp_size": 2}
    replicas = {**SGLANG["server_info"], "enable_dp_attention": False}
    options = Options({"hardware": "H200-SXM-141GB", "weight_precision": "bf16"})
    counts = []
    for server in (new, replicas):
        point = one(tmp_path, {**SGLANG, "server_info": server}, options)
        counts.append((point["tp"], point["dp"], point["n_gpus"]))
    # 2 groups of 2 share 4 accelerators; 2 replicas of 4 take 8
    assert counts == [("2", "2", "4"), ("4", "2", "8")]


def test_sglang_without_server_info_asks_for_the_rest(tmp_path):
    path = written(tmp_path, "s.jsonl", {**SGLANG, "server_info": None, "request_rate": math.inf})
    (problem,) = import_files([path], Options()).problems
    assert problem.endswith("give --hardware, --engine, --model, --tp, --weight-precision")


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_guidellm_report_has_a_point_for_each_benchmark(tmp_path, suffix):
    report = guidellm(
        benchmark({"type_": "synchronous"}),
        benchmark({"type_": "concurrent", "streams": 32}),
        benchmark({"type_": "poisson", "rate": 7.5}),
        benchmark({"type_": "constant", "rate": 7.5}),
        benchmark({"type_": "throughput", "max_concurrency": None}),
    )
    text = json.dumps(report) if suffix == "json" else yaml.safe_dump(report)
    found = import_files([written(tmp_path, f"report.{suffix}", text)], HERE)
    assert found.problems == []
    assert [(p["load_kind"], p["concurrency_or_qps"]) for p in found.points] == [
        ("closed_loop", "1"), ("closed_loop", "32"), ("poisson_qps", "7.5"), ("qps", "7.5"),
        ("inf", "inf"),
    ]  # fmt: skip
    point = found.points[0]
    # request_latency is in seconds: 2.4 s = 2400 ms
    assert (point["e2e_ms"], point["itl_or_tpot_ms"], point["itl_stat"]) == (
        "2400", "9", "median(ITL)",
    )  # fmt: skip
    assert (point["source"], point["measured_date"]) == ("GuideLLM 0.8.1", "2026-11-02")


def test_guidellm_refuses_one_benchmark_and_imports_the_others(tmp_path):
    report = guidellm(
        benchmark({"type_": "trace"}),
        benchmark({"type_": "concurrent", "streams": 4}),
        benchmark({"type_": "synchronous"}, output_tokens_per_second={}),
    )
    found = import_files([written(tmp_path, "report.json", report)], HERE)
    assert [p["concurrency_or_qps"] for p in found.points] == ["4"]
    assert "benchmarks[0].config.strategy.type_: 'trace' is no single load" in found.problems[0]
    assert (
        "benchmarks[2].metrics.output_tokens_per_second.successful.mean: is missing"
        in (found.problems[1])
    )


@pytest.mark.parametrize("version", [None, 3, "2"])
def test_guidellm_of_another_version_is_refused_with_what_was_found(tmp_path, version):
    report = guidellm(benchmark({"type_": "synchronous"}), version=version)
    (problem,) = import_files([written(tmp_path, "report.json", report)], HERE).problems
    assert "GuideLLM reports 1 and 2 are read" in problem


def test_aiperf_reads_the_profiling_phase_and_its_units(tmp_path):
    point = one(tmp_path, AIPERF)
    assert (point["load_kind"], point["concurrency_or_qps"]) == ("closed_loop", "8")
    # 12,000 microseconds are 12 ms
    assert (point["itl_or_tpot_ms"], point["itl_stat"]) == ("12", "median(TPOT)")
    assert (point["source"], point["model"]) == ("AIPerf 0.13.0", "Qwen/Qwen3-8B")


def test_aiperf_0_1_and_genai_perf_name_their_load_elsewhere(tmp_path):
    old = {k: v for k, v in AIPERF.items() if not k.endswith("_version")}
    old["input_config"] = {
        "endpoint": {"model_names": ["Qwen/Qwen3-8B"]}, "loadgen": {"concurrency": 5},
    }  # fmt: skip
    assert one(tmp_path, old)["concurrency_or_qps"] == "5"
    point = one(tmp_path, GENAI_PERF)
    assert (point["source"], point["load_kind"], point["concurrency_or_qps"]) == (
        "GenAI-Perf", "poisson_qps", "3",
    )  # fmt: skip


def test_csv_groups_thousands_and_takes_its_load_from_the_options(tmp_path):
    path = written(tmp_path, "profile_export_genai_perf.csv", CSV)
    (problem,) = import_files([path], HERE).problems
    assert problem.endswith("give --model, --concurrency or --request-rate")
    options = Options({**HERE.columns, "model": "m"}, Load("closed_loop", 16.0))
    (point,) = import_files([path], options).points
    assert (point["output_tok_s_total"], point["ttft_ms"]) == ("1640", "1010")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", {**AIPERF, "schema_version": "2.0"}, "schema_version is '2.0'"),
        ("b.json", {**AIPERF, "is_complete": False}, "is_complete: false"),
        ("c.json", {"hits": 3, "misses": 4}, "layout unknown: keys hits, misses"),
        ("d.json", '{"date": "2026', "is no valid JSON"),
        ("e.json", "", "is empty"),
        ("f.csv", "a,b\n1,2\n", "no metric Output Token Throughput"),
        ("g.json", {**VLLM, "median_ttft_ms": float("nan")}, "median_ttft_ms: expected at least 0"),
        ("h.json", {**VLLM, "completed": 0}, "completed: expected above 0, found 0"),
        ("i.json", {**VLLM, "ramp_up_strategy": "linear"}, "the rate changes"),
        ("j.json", {**VLLM, "total_output_tokens": "40k"}, "expected a number, found '40k'"),
        ("k.yaml", "a: [1", "is no valid YAML"),
        ("l.json", [1, 2], "layout unknown: a list of 2"),
    ],
)
def test_a_refused_file_is_named_and_the_others_are_imported(tmp_path, name, content, said):
    bad, good = written(tmp_path, name, content), written(tmp_path, "good.json", VLLM)
    found = import_files([bad, good], HERE)
    assert len(found.points) == 1
    assert len(found.problems) == 1
    assert found.problems[0].startswith(f"{bad}: ")
    assert said in found.problems[0]


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path):
    path = written(tmp_path, "run.json", {**VLLM, "completed": None, "duration": -1})
    problems = import_files([path], HERE).problems
    assert [p.removeprefix(f"{path}: ") for p in problems] == [
        "completed: is missing", "duration: expected at least 0, found -1",
    ]  # fmt: skip


ODD = (None, -1, 1e300, 10**30, float("nan"), "x", True, [], [3], {}, {"a": 1}, 0)


def paths_of(value, path=()):
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, below in entries:
        yield (*path, key)
        if isinstance(below, dict | list):
            yield from paths_of(below, (*path, key))


def with_value(value, path, odd):
    copy = json.loads(json.dumps(value))
    at = copy
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = odd
    return copy


@pytest.mark.parametrize(
    "content",
    [VLLM, SGLANG, guidellm(benchmark({"type_": "poisson", "rate": 7.5})), AIPERF, GENAI_PERF],
    ids=["vllm", "sglang", "guidellm", "aiperf", "genai-perf"],
)
def test_any_value_anywhere_is_read_or_refused_with_a_sentence(tmp_path, content):
    for path in paths_of(content):
        for odd in ODD:
            file = written(tmp_path, "run.json", with_value(content, path, odd))
            found = import_files([file], HERE)
            assert found.points or found.problems, (path, odd)
            for point in found.points:
                assert float(point["output_tok_s_total"]) > 0
                assert "nan" not in point.values(), (path, odd)


def test_columns_are_those_of_the_points_table():
    table = Path(__file__).parents[3] / "shared" / "measured" / "points_dev.csv"
    if not table.exists():
        pytest.skip(f"no points table at {table}")
    with table.open() as stream:
        assert tuple(stream.readline().strip().split(",")) == COLUMNS


def test_a_table_reads_back_and_a_foreign_one_is_refused(tmp_path):
    points = import_files([written(tmp_path, "run.json", VLLM)], HERE).points
    table = written(tmp_path, "points.csv", to_csv(points))
    (row,) = from_csv(table)
    assert {k: v for k, v in row.items() if v} == {k: v for k, v in points[0].items() if v}
    with pytest.raises(ScenarioError, match="lacks the columns id"):
        from_csv(written(tmp_path, "other.csv", "a,b\n"))


def invoke(*words):
    return CliRunner().invoke(group, ["calibrate", "import", *map(str, words)])


def test_command_writes_what_it_can_and_ends_with_2(tmp_path):
    out = tmp_path / "points.csv"
    good, bad = written(tmp_path, "good.json", VLLM), written(tmp_path, "bad.json", "{}")
    words = ("--hardware", "H100-SXM-80GB", "--engine", "vllm", "--tp", "2",
             "--weight-precision", "fp8", "-o", out)  # fmt: skip
    result = invoke(good, bad, *words)
    assert isinstance(result.exception, ScenarioError)
    assert result.exception.exit_status == 2
    assert [row["engine"] for row in from_csv(out)] == ["vLLM"]
    again = invoke(good, *words, "--append")
    assert again.exit_code == 0
    assert len(from_csv(out)) == 1


def test_command_prints_the_table_or_json(tmp_path):
    path = written(tmp_path, "sglang.jsonl", SGLANG)
    words = (path, "--hardware", "H100-SXM-80GB", "--weight-precision", "fp8")
    assert invoke(*words).stdout.startswith(",".join(COLUMNS))
    stdout = invoke(*words, "--json", "--measured-date", "2026-11-02").stdout
    (point,) = json.loads(stdout)["points"]
    assert point["measured_date"] == "2026-11-02"
    assert invoke(*words, "--concurrency", 4, "--request-rate", 2).exit_code == 2
