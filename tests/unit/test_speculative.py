"""Speculative decoding: what a draft yields, costs and changes, from formula to candidate."""

from dataclasses import replace

import numpy as np
import pytest

import planner
from planner.candidates.drafts import drafts_of
from planner.candidates.enumerate import Configuration, configurations
from planner.candidates.shapes import serving
from planner.candidates.subject import subject_of
from planner.files.catalog import load_catalog
from planner.perf.lengths import from_samples
from planner.perf.queueing import percentiles, stability_limit
from planner.perf.reduce import Lengths as MeanLengths
from planner.perf.reduce import reduce_to_replica
from planner.perf.replica import Replica, step_s
from planner.perf.speculative import in_steps, tokens_per_step, with_draft
from planner.perf.step_time import iteration_terms_s
from planner.pipeline import case
from planner.simulate.arrivals import requests_of
from planner.simulate.pool import Pool, simulate
from planner.simulate.state import Numbers, numbers_of
from tests.unit.test_simulate import by_hand, run

EAGLE = "eagle3-llama-3.1-8b"


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def with_modes(scenario, *modes):
    return scenario.model_copy(
        update={"supply": scenario.supply.model_copy(update={"modes": modes})}
    )


@pytest.fixture(scope="module")
def both(catalog):
    return case(with_modes(planner.load("chat_8b"), "chunked", "speculative"), catalog)


def test_tokens_of_a_step_by_hand():
    # 1 + 0.65 + 0.4225 + 0.274625, and the published 85 % of one token.
    assert tokens_per_step(0.65, 3) == pytest.approx(2.347125)
    assert tokens_per_step(0.85, 1) == pytest.approx(1.85)
    assert tokens_per_step(0.0, 5) == 1.0


@pytest.mark.parametrize(("share", "drafted"), [(1.0, 1), (-0.1, 1), (0.5, 0)])
def test_no_draft_accepts_everything_or_drafts_nothing(share, drafted):
    with pytest.raises(ValueError, match="drafted tokens"):
        tokens_per_step(share, drafted)


def test_an_answer_in_steps_by_hand():
    # Answers of 5 and 9 tokens are the first token and 2 or 4 steps of two; reads halve too:
    # 100 x 4 + 4 x 5 / 2 = 410 and 100 x 8 + 8 x 9 / 2 = 836.
    lengths = in_steps(from_samples([100.0, 100.0], [5.0, 9.0]), 2.0)
    assert lengths.output_mean == 4.0
    assert lengths.decode_steps == 3.0
    assert lengths.kv_steps == (410 + 836) / 2 / 2
    assert lengths.output_scv == pytest.approx(1 / 16)  # variance 1 around 4 steps
    assert sorted(lengths.output_tokens.tolist()) == [3.0, 5.0]
    assert lengths.total_tokens.tolist() == [105.0, 109.0]


def test_a_step_computes_every_drafted_token():
    # 2 + 3 + max(10, 0.1 x (40 + 4 x 50)) + 0.01 x 50 + 0.001 x 1000 = 30.5.
    numbers = (2.0, 3.0, 10.0, 0.1, 0.01, 0.001, 0.0, 512.0, 64.0, 1e5)
    one = replace(Replica(*(np.array([x]) for x in numbers)), decode_tokens=np.array([4.0]))
    found = step_s(one, prefill_tokens=40.0, decode_sequences=50.0, kv_tokens=1000.0)
    assert found[0] == pytest.approx(30.5)


def test_simulated_answer_by_hand():
    # Prompt 50, answer 5, steps of 1 s and 0.01 s a token. Prefill 1.5 s gives the first token;
    # two steps of three tokens verified and two kept each, 1.03 s, give the other four.
    numbers = Numbers(1.0, 0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 100, 8, 10_000, 3, 2.0)
    ttft, tpot, found = run(Pool(numbers), [0], [50], [5])
    assert tuple(ttft) == by_hand(1.5)
    assert tuple(tpot) == by_hand(2.06 / 4)
    assert found.drained_s[0] == pytest.approx(3.56)
    assert found.kv_frac_max[0] == pytest.approx(54 / 10_000)


def test_simulated_cache_grows_by_what_is_kept():
    # Two requests of 5 + 9 tokens gain two a step in a cache of 19. 10, 14, 18 held; the next
    # step would need 22: the newer gives its 9 back with 5 tokens made, and follows when the
    # other has ended (its ninth token comes with step 5).
    numbers = Numbers(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000, 8, 19, 3, 2.0)
    ttft, tpot, found = run(Pool(numbers), [0, 0], [5, 5], [9, 9])
    assert found.preempted[0] == 1
    assert tuple(ttft) == by_hand(1.0, 1.0)
    # First: steps 2 to 5. Second: computed again in step 6, which gives its sixth token; steps 7
    # and 8 give the last three.
    assert tuple(sorted(tpot)) == by_hand(4 / 8, 7 / 8)


def test_gain_is_rounded_down_so_that_sums_are_exact():
    one = Replica(*(np.array([x]) for x in (1.0, 0, 0, 0, 0, 0, 0, 100.0, 50.0, 1000.0)))
    found = numbers_of(replace(one, decode_tokens=np.array([4.0]), decode_gain=np.array([2.347])))
    assert found.decode_gain == 150 / 64
    assert found.sequences_max == 25  # four tokens each in a step of 100


def test_formula_and_simulation_agree_with_a_draft():
    numbers = (1e-3, 5e-4, 6.4e-3, 2.9e-5, 4e-6, 5.2e-8, 1.4e-9, 2048.0, 256.0, 400_000.0)
    plain = replace(Replica(*(np.array([x]) for x in numbers)), decode_tokens=np.array([4.0]))
    one = with_draft(plain, drafted=np.array([3.0]), gain=np.array([2.34375]),
                     layers=np.array([32.0]), params_frac=np.array([0.05]))  # fmt: skip
    draw = np.random.default_rng(3)
    prompts, answers = (np.rint(draw.lognormal(m, 0.6, 4096)) + 2 for m in (6.0, 5.0))
    lengths = in_steps(from_samples(prompts, answers), 2.34375)
    stable = stability_limit(one, lengths)
    for share in (0.3, 0.6):
        rate = share * stable
        ttft, tpot = percentiles(one, lengths, rate, ttft_percentile=0.95, tpot_percentile=0.95,
                                 arrival_cv=1.0, stability_rps=stable)  # fmt: skip
        done = simulate(Pool(numbers_of(one)), requests_of(prompts, answers),
                        rate_rps=float(rate[0]), count=20_000, batches=2, seed=5)  # fmt: skip
        # The formulas' own accuracy without a draft: 9 in 10 rates within 17 %.
        assert tpot[0] / 2.34375 == pytest.approx(done.tpot_s(0.95).value, rel=0.17)
        assert ttft[0] == pytest.approx(done.ttft_s(0.95).value, rel=0.25)


def test_reduced_steps_stay_above_the_full_model(catalog):
    places = ("h100-sxm", "h200-sxm", "b200-sxm", "a100-80-sxm")
    configs = [
        Configuration(0, "llama-3.1-8b", name, "fp8" if name != "a100-80-sxm" else "bf16", "bf16",
                      "vllm", mode="speculative", draft=EAGLE)
        for name in places
    ]  # fmt: skip
    shaped, _ = serving(configs, catalog)
    drafts = drafts_of(configs, catalog)
    means = MeanLengths(np.full(4, 1000.0), np.full(4, 250.0))
    one = reduce_to_replica(shaped, means, kv_tokens=np.full(4, 4e5),
                            decode_tokens=drafts.decode_tokens)  # fmt: skip
    for sequences in (64.0, 128.0, 256.0):
        terms = iteration_terms_s(shaped, prefill_tokens=0.0, decode_sequences=4 * sequences,
                                  context_tokens=0.0, prompt_ends=0.0)  # fmt: skip
        truth = sum(terms.values())
        found = step_s(one, prefill_tokens=0.0, decode_sequences=sequences, kv_tokens=0.0)
        assert np.all(found >= 0.999 * truth)
        assert np.all(found <= 1.25 * truth)


def test_draft_takes_memory_and_cache(catalog):
    config = Configuration(0, "llama-3.1-8b", "h100-sxm", "fp8", "fp8", "vllm", tp=2,
                           mode="speculative", draft=EAGLE)  # fmt: skip
    drafts = drafts_of([config, replace(config, mode="chunked", draft="")], catalog)
    # 0.425e9 parameters of two bytes on two GPUs; a 33rd layer beside 32.
    assert drafts.bytes_per_gpu.tolist() == [0.425e9, 0.0]
    assert drafts.cache_left(np.array([33_000.0, 33_000.0])) == pytest.approx([32_000, 33_000])
    assert drafts.decode_tokens.tolist() == [4.0, 1.0]


def test_only_models_with_a_known_draft_are_offered(catalog):
    scenario = with_modes(planner.load("enterprise_405b"), "speculative")
    found = [c for c in configurations(scenario, catalog) if c.mode == "speculative"]
    assert found
    assert all("no draft is known for llama-3.1-405b" in c.reason for c in found)
    assert not any(c.draft for c in configurations(planner.load("chat_8b"), catalog))


def test_speculative_candidates_are_named_and_faster_without_load(both):
    table = both.table
    pairs = {}
    for i, config in enumerate(table.configurations):
        if config.engine == "vllm" and not table.reasons[i]:
            plain = replace(config, mode="chunked", draft="")
            pairs.setdefault(plain, {})[config.mode] = i
    pairs = [pair for pair in pairs.values() if len(pair) == 2]
    assert len(pairs) > 10
    for pair in pairs:
        plain, drafted = pair["chunked"], pair["speculative"]
        assert table.names[drafted].endswith(f"/speculative-{EAGLE}")
        assert table.tpot_zero_s[drafted] < table.tpot_zero_s[plain]
        if table.configurations[plain].quantization in ("bf16", "fp8"):
            # Rejected tokens are computed too: less is won at the limit than without load.
            won_alone = table.tpot_zero_s[plain] / table.tpot_zero_s[drafted]
            assert table.stability_rps[drafted] / table.stability_rps[plain] < won_alone
    refused = [
        table.reasons[i] for i, c in enumerate(table.configurations)
        if c.mode == "speculative" and c.pp > 1
    ]  # fmt: skip
    assert set(refused) <= {"speculative decoding does not run over pipeline stages"}


def test_simulator_is_told_of_the_draft(both):
    table = both.table
    i = next(i for i in table.kept.tolist() if table.configurations[i].draft)
    numbers = subject_of(both.scenario, both.catalog, table, i).one.numbers
    assert (numbers.decode_tokens, numbers.decode_gain) == (4, 150 / 64)
