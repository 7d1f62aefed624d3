"""Questions without an answer, from the command line to the reason: nothing is replaced."""

import pytest
import yaml

from planner.cli import main
from tests.small_world import CHAT, CLOUD, HQ, written

ON_DEMAND = {"options": ["on_demand"], "lead_time_months": {}}


def asked(tmp_path, capsys, command="solve", **sections):
    """Exit status and message of a question."""
    file = tmp_path / "question.yaml"
    file.write_text(yaml.safe_dump(written(**sections)), encoding="utf-8")
    words = [
        command,
        str(file),
        *(["-o", str(tmp_path / "plan.json")] if command == "solve" else []),
    ]
    with pytest.raises(SystemExit) as end:
        main(words)
    assert not (tmp_path / "plan.json").exists()
    return end.value.code, capsys.readouterr().err


def test_model_that_fits_no_accelerator(tmp_path, capsys):
    status, said = asked(
        tmp_path, capsys,
        demand=[{**CHAT, "models": ["llama-3.1-405b"], "api_allowed": False}],
        supply={**ON_DEMAND, "quantizations": ["bf16"], "tp_max": 8},
    )  # fmt: skip
    assert status == 3
    assert "chat: none of 4 configurations can serve: " in said
    # 812 GB over eight cards of 48.3 GB, of which vLLM may take 0.861.
    assert "weights need 101 GB of 42" in said


@pytest.mark.parametrize("accelerator", ["a10", "h100-nvl"])
def test_nothing_has_a_price(tmp_path, capsys, accelerator):
    status, said = asked(
        tmp_path, capsys,
        supply={**ON_DEMAND, "options": ["reserved_3y"], "accelerators": [accelerator]},
    )  # fmt: skip
    assert status == 2
    assert "demand[chat]: no way of serving it has a price; see supply.options" in said


def test_only_machines_without_a_price_can_serve(tmp_path, capsys):
    # 32B in bf16 takes 66 GB: an A100 PCIe holds it and has no price, an L40S has one.
    status, said = asked(
        tmp_path, capsys,
        demand=[{**CHAT, "models": ["qwen2.5-32b"]}],
        supply={**ON_DEMAND, "accelerators": ["l40s", "a100-80-pcie"], "quantizations": ["bf16"]},
    )  # fmt: skip
    assert status == 3
    assert "chat: could be served on a100-80-pcie, but nothing that the scenario allows" in said


@pytest.mark.parametrize(
    ("slo", "reached"),
    [
        ({"ttft_ms": 21, "tpot_ms": 60}, "TTFT p95 1"),
        ({"ttft_ms": 2000, "tpot_ms": 2}, "TPOT p95 1"),
        ({"ttft_ms": 2000, "tpot_ms": 60, "e2e_ms": 4000}, "and E2E p95 5,"),
    ],
)  # fmt: skip
def test_promise_out_of_reach_names_the_nearest(tmp_path, capsys, slo, reached):
    status, said = asked(tmp_path, capsys, demand=[{**CHAT, "slo": slo}])
    assert status == 3
    assert "chat: nearest is chat/llama-3.1-8b/l40s/fp8+kv-bf16/vllm/tp1/chunked" in said
    assert reached in said.split("nearest is")[1]
    for target in slo.values():
        assert f"(target {target})" in said


def test_site_without_the_power(tmp_path, capsys):
    # Two nodes of 4.48 kW stand on 10 kW; 200 requests a second need more.
    status, said = asked(
        tmp_path, capsys,
        demand=[{**CHAT, "requests_per_s": 200}],
        sites=[{**HQ, "kind": "colo", "it_power_kw": 10}],
        supply={"options": ["colo"], "lead_time_months": {"l40s": 0}},
        planning={"plan_at": "p50"},
    )  # fmt: skip
    assert status == 3
    assert "site_power: hq, 2027-Q" in said
    short = float(said.split("site_power: hq, 2027-Q")[1].split(": ")[1].split(" kW short")[0])
    # 283.7 requests/s at 6.7 a replica: 43, six nodes and a spare, 31.4 kW.
    assert 16 <= short <= 30
    assert "short of 10 kW" in said


def test_site_on_which_nothing_can_stand(tmp_path, capsys):
    status, said = asked(
        tmp_path, capsys, sites=[{**HQ, "rack_kw": 2}],
        supply={"options": ["owned"], "lead_time_months": {}},
    )  # fmt: skip
    assert status == 3
    assert "demand_served: chat: no candidate may serve it at any site" in said


def test_stock_of_nothing(tmp_path, capsys):
    stock = [{"accelerator": "l40s", "site": "cloud", "lots_max": 0}]
    status, said = asked(tmp_path, capsys, supply={**ON_DEMAND, "stock": stock})
    assert status == 3
    assert "stock: l40s, cloud" in said


def test_machines_that_come_too_late(tmp_path, capsys):
    supply = {"options": ["owned"], "lead_time_months": {"l40s": 6}}
    status, said = asked(tmp_path, capsys, sites=[HQ], supply=supply)
    assert status == 3
    assert "nothing ordered now is in service before 2027-Q3" in said


def test_quality_beyond_every_format(tmp_path, capsys):
    status, said = asked(tmp_path, capsys, demand=[{**CHAT, "quality_floor": 0.999}])
    assert status == 3
    assert "keeps 0.995 of the quality, floor 0.999" in said


@pytest.mark.parametrize("command", ["solve", "check"])
def test_growth_and_lengths_that_cannot_be(tmp_path, capsys, command):
    early = {**CHAT, "growth": {"events": [{"month": "2026-01", "factor": 2}]}}
    long = {**CHAT, "name": "long", "models": ["gemma-2-9b"],
            "output_tokens": {"mean": 9000, "cv": 0.5}}  # fmt: skip
    status, said = asked(tmp_path, capsys, command, demand=[early, long], sites=[HQ, CLOUD])
    assert status == 2
    assert "demand[chat].growth.events: 2026-01 lies before the start, 2027-01" in said
    assert "demand[long].output_tokens: mean 9,000 lies outside 1 to the context of" in said
