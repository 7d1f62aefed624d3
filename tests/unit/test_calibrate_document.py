"""The page of held-out errors: shares of variance, repeats, and what people wrote stays."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from planner.calibrate.crossval import widths_from
from planner.calibrate.document import BEGIN, END, common_frac, known_run, repeats, with_tables
from planner.perf.bands import RULES, SPARSE_ROWS, is_sparse


@dataclass(frozen=True)
class Config:
    accelerator: str
    model: str = "m"
    engine: str = "vllm"
    quantization: str = "fp8"


@dataclass(frozen=True)
class Point:
    config: Config
    load: float = 1.0
    kind: str = "closed"
    input_tokens: float = 100.0
    output_tokens: float = 10.0
    replicas: float = 1.0
    groups: dict = field(default_factory=lambda: {"source": "s"})


@dataclass(frozen=True)
class Score:
    point: Point
    log_error: float
    measured: float = 1.0

    @property
    def error(self):
        return float(np.exp(self.log_error)) - 1


def scores(*errors):
    return [Score(Point(Config(name)), error) for name, error in errors]


def test_the_common_share_is_the_variance_between_groups():
    # Means +0.2 and -0.2, each +-0.1 around: 0.04 of 0.04 + 0.01.
    found = scores(("a", 0.3), ("a", 0.1), ("b", -0.3), ("b", -0.1))
    assert common_frac(found, lambda s: (s.point.config.accelerator,)) == pytest.approx(0.8)


def test_with_the_median_of_a_run_known_its_spread_is_left():
    # Medians 0.2 and -0.2; four rows lie e^0.1 or e^-0.1 beside them.
    found = scores(("a", 0.3), ("a", 0.1), ("b", -0.3), ("b", -0.1))
    middle, _ = known_run(found)
    assert 1 - np.exp(-0.1) <= middle <= np.exp(0.1) - 1


def test_repeats_are_pairs_of_one_configuration_and_load():
    point = Point(Config("a"))
    many = [Score(point, 0.0, 10.0), Score(point, 0.0, 11.0), Score(Point(Config("b")), 0.0, 20.0)]
    assert repeats(many) == pytest.approx([1.1])


def test_what_people_wrote_stays():
    page = f"# Title\n{BEGIN}\nold\n{END}\nWhy.\n"
    assert with_tables(page, "new") == f"# Title\n{BEGIN}\n\nnew\n{END}\nWhy.\n"
    assert with_tables("", "new") == f"{BEGIN}\n\nnew\n{END}"


def test_accelerators_with_few_fitted_points_are_sparse():
    rows = {"fitted_rows_h100-sxm_a": SPARSE_ROWS - 1, "fitted_rows_h100-sxm_b": 1.0,
            "fitted_rows_mi300x_a": SPARSE_ROWS - 1}  # fmt: skip
    assert not is_sparse(rows, "h100-sxm")
    assert is_sparse(rows, "mi300x")
    assert is_sparse(rows, "mi355x")


def test_rules_that_apply_together_share_the_width():
    # 100 figures under `latent` reach 1..2, the 100 under both rules 3 times as far: latent 1.8
    # covers four of five of its own, so that sparse takes about the other factor of 3.
    steps = np.linspace(1.0, 2.0, 1001)
    reach = np.concatenate([steps, 3 * steps])
    one, both = np.ones(2002, bool), np.arange(2002) >= 1001
    traits = {rule: np.zeros(2002, bool) for rule in RULES} | {"latent": one, "sparse": both}
    found = widths_from(reach, traits, dict.fromkeys(RULES, 1.0), np.full(2002, "tpot"))
    covered = reach <= found["latent"] * np.where(both, found["sparse"], 1.0)
    assert found["sparse"] == pytest.approx(3.0, rel=0.02)
    assert covered[~both].mean() == pytest.approx(0.8, abs=0.01)
    assert covered[both].mean() == pytest.approx(0.8, abs=0.01)
    assert found["linear"] == 1.0


def test_the_metric_that_needs_most_sets_the_width():
    # Under `sparse` the time per token reaches 1..2 and the throughput 2..3: 2.8 covers four of
    # five of the second and all of the first.
    steps = np.linspace(1.0, 2.0, 1001)
    traits = {rule: np.zeros(2002, bool) for rule in RULES} | {"sparse": np.ones(2002, bool)}
    metric = np.repeat(["tpot", "throughput"], 1001)
    reach = np.concatenate([steps, 1 + steps])
    found = widths_from(reach, traits, dict.fromkeys(RULES, 1.0), metric)
    assert found["sparse"] == pytest.approx(2.8, abs=0.01)
