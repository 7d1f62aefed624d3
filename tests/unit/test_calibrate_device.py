"""Measuring a device: a made-up GPU of known rates gives these rates back, and rows that load."""

import builtins
import sys
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from planner.calibrate import device as module
from planner.calibrate.device import (
    Copy,
    Decode,
    Gemm,
    Launch,
    accelerator_of,
    reduced,
    rows_of,
    timed,
    works,
)
from planner.calibrate.device_torch import torch_device
from planner.cli.calibrate_device import command
from planner.errors import ScenarioError
from planner.files.catalog import load_catalog
from planner.perf.calibrated import coefficients

LAUNCH_S, CAPTURED_S = 5e-6, 1.5e-6
STREAM, KV, FLOP = 0.8, 0.6, 0.7


class MadeUp:
    """A GPU whose every rate is known; each eighth timing is disturbed, as by another process."""

    name, software, memory_bytes = "NVIDIA H200", "made up 1.0", 140e9

    def __init__(self, machine, noise=0.01):
        self.bandwidth = machine.memory_tb_per_s * 1e12
        self.peak = machine.bf16_tflop_per_s * 1e12
        self.noise, self.rng = noise, np.random.default_rng(3)

    def exact_s(self, work):
        match work:
            case Copy():
                return LAUNCH_S + 2 * work.size_bytes / (0.9 * self.bandwidth)
            case Gemm(rows=module.PREFILL_ROWS):
                side = np.sqrt(work.inner * work.columns)
                return LAUNCH_S + work.flop * (side + 1000) / side / (FLOP * self.peak)
            case Gemm():
                return LAUNCH_S + work.memory_bytes / (STREAM * self.bandwidth)
            case Decode():
                return LAUNCH_S + work.memory_bytes / (KV * self.bandwidth)
            case Launch():
                return work.kernels * (CAPTURED_S if work.captured else LAUNCH_S)

    def times_s(self, work, *, repeats):
        scatter = 1 + self.noise * np.abs(self.rng.standard_normal(repeats))
        return [self.exact_s(work) * s * (3 if i % 8 == 0 else 1) for i, s in enumerate(scatter)]


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def measure(catalog, device=None, name="h200-sxm"):
    machine = catalog.accelerators[name]
    values = {row: catalog.calibration[row].value for row in catalog.calibration}
    values |= {"gemm_half_width": 1000.0, "gemm_table_factor": 1.0}
    return reduced(timed(device or MadeUp(machine)), machine, values)


def test_known_rates_come_back(catalog):
    found = measure(catalog)
    assert found.stream_frac == pytest.approx(STREAM, rel=0.02)
    assert found.kv_frac == pytest.approx(KV, rel=0.02)
    assert found.flop_frac == pytest.approx(FLOP, rel=0.02)
    assert found.copy_bytes_per_s == pytest.approx(0.9 * 4.8e12, rel=0.02)
    assert found.launch_s == pytest.approx(LAUNCH_S, rel=0.02)
    assert found.captured_s == pytest.approx(CAPTURED_S, rel=0.02)


def test_work_is_what_it_says():
    # 2 x 2 x 3 x 4 operations; 12 weights of 2 bytes and 2 x (3 + 4) more.
    assert (Gemm(2, 3, 4).flop, Gemm(2, 3, 4).memory_bytes) == (48.0, 52.0)
    # 5 sequences x 7 tokens x keys and values of 2 heads x 3, 2 bytes each.
    assert Decode(5, 7, 4, 2, 3).memory_bytes == 840.0
    assert Copy(10.0).memory_bytes == 20.0


def test_only_what_fits_is_timed():
    assert not [w for w in works(3e9) if w.memory_bytes > 1.5e9]
    rows = load_catalog()
    small = MadeUp(rows.accelerators["h200-sxm"])
    small.memory_bytes = 0.5e9
    with pytest.raises(ScenarioError, match="too little free memory"):
        measure(rows, small)


def test_a_device_above_its_datasheet_is_another(catalog):
    # An H200 (4.8 TB/s) taken for an L40S (0.864 TB/s).
    fast = MadeUp(catalog.accelerators["h200-sxm"])
    with pytest.raises(ScenarioError, match=r"streams weights at 4\.4. of the datasheet"):
        measure(catalog, fast, "l40s")


def test_names(catalog):
    device = MadeUp(catalog.accelerators["h200-sxm"])
    assert accelerator_of(device, None, catalog) == "h200-sxm"
    assert accelerator_of(device, "l40s", catalog) == "l40s"
    device.name = "GeForce 7"
    with pytest.raises(ScenarioError, match="GeForce 7"):
        accelerator_of(device, None, catalog)


def run(monkeypatch, catalog, tmp_path, *words):
    made_up = MadeUp(catalog.accelerators["h200-sxm"])
    monkeypatch.setattr("planner.calibrate.device_torch.torch_device", lambda: made_up)
    return CliRunner().invoke(command, ["-o", str(tmp_path / "mine"), *words])


def test_the_overlay_changes_what_was_measured_and_nothing_else(monkeypatch, catalog, tmp_path):
    done = run(monkeypatch, catalog, tmp_path)
    assert done.exit_code == 0, done.output
    mine = load_catalog(tmp_path / "mine")

    def at(rows, generation):
        values = {name: row.value for name, row in rows.calibration.items()}
        found, _ = coefficients(
            values, engine=["vllm"], generation=[generation], precision=["bf16"]
        )
        return found

    before, after = at(catalog, "hopper"), at(mine, "hopper")
    assert after.linear_stream_frac[0] == pytest.approx(STREAM, rel=0.02)
    assert after.kv_stream_frac[0] == pytest.approx(KV, rel=0.02)
    # The packaged half width and table factor: what is multiplied again was divided out.
    assert after.linear_flop_frac[0] == pytest.approx(FLOP, rel=0.02)
    assert after.layer_s == before.layer_s
    other, same = at(catalog, "blackwell"), at(mine, "blackwell")
    assert same.linear_stream_frac == other.linear_stream_frac
    row = mine.calibration["stream_bf16_hopper_frac"]
    assert "made up 1.0" in row.source
    assert row.basis == "measured"


def test_rows_carry_source_and_date(catalog):
    rows = rows_of(measure(catalog), "h200-sxm", catalog, software="s 1", today=date(2026, 11, 2))
    assert {row["as_of"] for row in rows.values()} == {"2026-11-02"}
    assert rows["device_launch_hopper_us"]["value"] == pytest.approx(5.0, rel=0.02)


def test_without_torch_it_says_what_to_do(monkeypatch):
    def refuse(name, *rest):
        if name == "torch":
            raise ImportError(name)
        return importing(name, *rest)

    importing = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ScenarioError, match=r"pip install 'inference-fleet-planner\[device\]'"):
        torch_device()


def test_without_a_gpu_it_says_what_to_do(monkeypatch):
    blind = SimpleNamespace(
        __version__="2.9", cuda=SimpleNamespace(is_available=lambda: False)
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch", blind)
    with pytest.raises(ScenarioError, match=r"torch 2\.9 sees no GPU") as refusal:
        torch_device()
    assert refusal.value.exit_status == 2
