import numpy as np
import pytest

from planner.perf import roofline, step_time
from planner.perf.roofline import Resource
from tests.unit.serving_world import LLAMA_70B, calibration, real, toy


def test_llama_70b_decode_on_eight_h100():
    # Without the input embedding 69.5e9 x 2 bytes, and 64 x 2048 x 327,680 bytes of cache:
    # (139.0 + 42.95) GB over 8 x 3.35 TB/s = 6.79 ms, far above its arithmetic.
    serving = real(LLAMA_70B, layout={"tensor_gpus": 8})
    bound = roofline.ideal(serving, prompt_tokens=2048.0, sequences=64.0, context_tokens=2048.0)
    assert bound.decode_step_s[0] == pytest.approx(6.79e-3, rel=2e-3)
    # 2 x 68.45e9 x 2048 FLOP + head + 4 x 64 x 128 x 80 x 1024 x 2048 over 8 x 989 TFLOP/s.
    assert bound.prefill_s[0] == pytest.approx(36.14e-3, rel=2e-3)


def test_intensity_of_weights_alone_is_the_batch():
    # 2 bytes and 2 FLOP a weight and token: intensity = batch, until caches add bytes.
    serving = toy()
    bound = roofline.ideal(serving, prompt_tokens=1.0, sequences=32.0, context_tokens=0.0)
    assert bound.decode_flop_per_byte[0] == pytest.approx(32.0)
    assert bound.balance_flop_per_byte[0] == pytest.approx(1000.0)
    assert bound.ridge_tokens[0] == pytest.approx(1000.0)


def test_ideal_is_below_the_predicted_step():
    for tp in (2, 4, 8):
        serving = real(LLAMA_70B, layout={"tensor_gpus": tp})
        bound = roofline.ideal(serving, prompt_tokens=4e3, sequences=64.0, context_tokens=2e3)
        decode = step_time.iteration_s(
            serving, prefill_tokens=0.0, decode_sequences=64.0, context_tokens=2e3
        )
        prefill = step_time.iteration_s(
            serving, prefill_tokens=4e3, decode_sequences=0.0, context_tokens=0.0,
            prefill_context_tokens=2e3, prompt_ends=1.0,
        )  # fmt: skip
        assert bound.decode_step_s[0] < decode[0]
        assert bound.prefill_s[0] < prefill[0]


def test_what_binds():
    # 70B over 8 GPUs: a long prefill computes; decode of 64 long sequences reads memory.
    serving = real(LLAMA_70B, layout={"tensor_gpus": 8})
    prefill, decode = roofline.binding(
        serving, prefill_tokens=8192.0, sequences=64.0, context_tokens=8000.0
    )
    assert Resource(prefill[0]) is Resource.compute
    assert Resource(decode[0]) is Resource.memory
    # Dear launches: the host. A slow link between many GPUs: communication.
    slow = toy(rates={"layer_s": 1.0})
    far = toy(layout={"tensor_gpus": 8}, device={"link_bytes_per_s": 1e6})
    load = {"prefill_tokens": 1000.0, "sequences": 1.0, "context_tokens": 1.0}
    assert Resource(roofline.binding(slow, **load)[1][0]) is Resource.host
    assert Resource(roofline.binding(far, **load)[0][0]) is Resource.communication


def test_latent_attention_counts_its_latent():
    model = {"mla": True, "kv_lora_rank": 512, "qk_rope_dim": 64, "kv_elems_full": 5760}
    bound = roofline.ideal(
        toy(model=model), prompt_tokens=1.0, sequences=10.0, context_tokens=1000.0
    )
    # 10 x (2.02e9 + 2 x 10 heads x 1088 x 10 layers x 1000) FLOP over
    # 2.02e9 + 10 x 1000 x 5760 x 2 bytes.
    flop = 10 * (2.02e9 + 2 * 10 * 1088 * 10 * 1000)
    assert bound.decode_flop_per_byte[0] == pytest.approx(flop / (2.02e9 + 1.152e8))


def test_calibration_covers_the_rows_that_memory_needs():
    assert {"memory_usable_frac", "memory_sampler_bytes"} <= set(calibration())
    assert np.isfinite(list(calibration().values())).all()


def test_prefill_work_by_hand():
    # One prompt of 1,000: 2 x 1e9 weights x 1,000 tokens, the head once 2e7, attention
    # 4 x 10 heads x 100 x 10 layers x 500 x 1,000 = 2e10; bytes 2e9 + 2e7, and a cache of 1,000
    # tokens x 4,000 elements x 2.
    work = roofline.prefill_work(toy(), tokens=1000.0, prompt_tokens=1000.0)
    assert work.flop[0] == pytest.approx(2e12 + 2e7 + 2e10)
    assert work.moved_bytes[0] == pytest.approx(2e9 + 2e7 + 8e6)
    assert work.flop_per_byte[0] == pytest.approx(2.02002e12 / 2.028e9)


def test_decode_work_by_hand():
    # 10 sequences of 100 tokens: 2 x 1.01e9 x 10, attention 4 x 10 x 100 x 10 x 100 x 10 = 4e7.
    work = roofline.decode_work(toy(), sequences=10.0, context_tokens=100.0)
    assert work.flop[0] == pytest.approx(2.02e10 + 4e7)
    assert work.moved_bytes[0] == pytest.approx(2e9 + 2e7 + 10 * 100 * 8000)
