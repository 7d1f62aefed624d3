import pytest

from planner.calibrate.holds import gather_wait_steps, hold_steps, poll_wait_steps

SGLANG = {
    "source": "inferencex-via-aiconfigurator-silicon_sample", "engine": "sglang",
    "accelerator": "b200-sxm", "model": "deepseek-r1", "tp": 8, "nominal": (1024.0, 1024.0),
}  # fmt: skip
LLAMA = SGLANG | {"engine": "tensorrt-llm", "model": "llama-3.1-70b", "tp": 4}


def test_a_server_that_polls_sees_requests_after_half_its_interval():
    assert poll_wait_steps(10.0) == 5.0


def test_requests_that_join_a_batch_wait_half_as_long():
    # 5 % of a request a step, 20 steps: the first waits 20, one more joins and waits 10.
    assert gather_wait_steps(timeout=20.0, arrivals_per_step=0.05) == pytest.approx(15.0)
    assert gather_wait_steps(timeout=20.0, arrivals_per_step=0.0) == 20.0


@pytest.mark.parametrize(("clients", "steps"), [(4.0, 5.0), (15.0, 5.0), (16.0, 15.0)])
def test_the_sglang_scripts_for_blackwell_poll_less_often_under_load(clients, steps):
    assert hold_steps(clients=clients, **SGLANG) == steps


def test_the_llama_scripts_gather_requests_below_eight_gpus():
    # 128 clients of 1024 tokens: 1/8 of a request a step, 2.5 join: 20 (1 + 1.25) / 3.5.
    assert hold_steps(clients=128.0, **LLAMA) == pytest.approx(20 * 2.25 / 3.5)


@pytest.mark.parametrize(
    "other",
    [
        LLAMA | {"tp": 8}, LLAMA | {"nominal": (8192.0, 1024.0)}, LLAMA | {"model": "gpt-oss-120b"},
        SGLANG | {"accelerator": "h200-sxm"}, SGLANG | {"source": "nvidia-aic"},
        SGLANG | {"engine": "vllm"},
    ],
)  # fmt: skip
def test_elsewhere_requests_are_admitted_at_once(other):
    assert hold_steps(clients=64.0, **other) == 0.0
