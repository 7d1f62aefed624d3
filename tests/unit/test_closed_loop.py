import numpy as np
import pytest

from planner.perf.closed_loop import Traffic, closed_loop
from planner.perf.step_time import iteration_s
from tests.unit.serving_world import LLAMA_8B, real, toy


def traffic(clients, *, prompt=1000.0, output=301.0, room=1e6, waves=0.0, separate=False):
    n = np.asarray(clients, float)
    return Traffic(
        clients=n, prompt_tokens=np.full(n.shape, prompt), output_tokens=np.full(n.shape, output),
        sequences_max=np.full(n.shape, room), budget_tokens=np.full(n.shape, 8192.0),
        waves_frac=np.full(n.shape, waves), separate_prefill=np.full(n.shape, separate),
    )  # fmt: skip


def test_one_client_with_a_one_token_prompt_decodes_alone():
    # The prompt is nothing: every token takes a decode step of one sequence, and 1 token of
    # prefill arrives once in 1000 steps. Toy: 4 ms of weights, head 40 us, host 210 us.
    found = closed_loop(toy(), traffic([1.0], prompt=1.0, output=1001.0))
    alone = iteration_s(toy(), prefill_tokens=0.0, decode_sequences=1.0, context_tokens=501.5)
    assert found.tpot_s == pytest.approx(alone, rel=2e-3)
    assert found.decode_sequences[0] == pytest.approx(1.0, abs=5e-3)


def test_little_law_holds():
    clients = np.array([1.0, 8.0, 64.0, 200.0])
    found = closed_loop(real(LLAMA_8B), traffic(clients))
    held = found.requests_per_s * (found.ttft_s + 300 * found.tpot_s)
    assert held == pytest.approx(clients, rel=1e-4)


def test_more_clients_never_lower_throughput_nor_speed_up_tokens():
    found = closed_loop(real(LLAMA_8B), traffic(np.arange(1.0, 257.0)))
    assert (np.diff(found.requests_per_s) > -1e-9).all()
    assert (np.diff(found.tpot_s) > -1e-9).all()


def test_clients_beyond_the_room_wait():
    # 64 clients, room for 16: the loop runs as with 16, and 48 wait 48 / X seconds.
    few = closed_loop(real(LLAMA_8B), traffic([16.0]))
    queued = closed_loop(real(LLAMA_8B), traffic([64.0], room=16.0))
    assert queued.tpot_s == pytest.approx(few.tpot_s)
    assert queued.ttft_s == pytest.approx(few.ttft_s + 48 / few.requests_per_s)


def test_a_full_wave_prefills_all_and_then_decodes_all():
    # 64 prompts of 1000 tokens fill 64,000 / 8192 = 7.8125 steps: half of them and a half pass
    # before a mean first token, (7.8125 - 1) / 2 = 3.40625 more before its second.
    world = real(LLAMA_8B)
    found = closed_loop(world, traffic([64.0], waves=1.0, separate=True))
    step = iteration_s(
        world, prefill_tokens=8192.0, decode_sequences=0.0, context_tokens=0.0,
        prefill_context_tokens=500.0, prompt_ends=8.192,
    )  # fmt: skip
    together = iteration_s(world, prefill_tokens=0.0, decode_sequences=64.0, context_tokens=1150.5)
    request_s = world.coefficients.request_s
    assert found.ttft_s == pytest.approx(request_s + 4.40625 * step)
    assert found.tpot_s == pytest.approx(together + 3.40625 * step / 300)


def test_waves_delay_first_tokens_and_spare_decode():
    free = closed_loop(real(LLAMA_8B), traffic([64.0]))
    waves = closed_loop(real(LLAMA_8B), traffic([64.0], waves=0.7))
    assert waves.ttft_s > free.ttft_s
    assert waves.tpot_s < free.tpot_s
