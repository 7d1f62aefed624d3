import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.perf import collectives
from planner.perf.shapes import Link

TABLE = {
    "pcie_latency_s": np.array([5e-6, 14e-6, 25e-6]),
    "pcie_link_frac": np.array([0.6, 0.3, 0.2]),
}


def all_reduce(link, gpus, message, link_rate, *, latency=4.8e-6):
    n = np.asarray(gpus, float)
    kind = np.full(n.shape, link)
    return collectives.all_reduce_s(
        message_bytes=message,
        gpus=n,
        latency_s=collectives.group_latency_s(
            link=kind, gpus=n, latency_s=latency, pcie_latency_s=TABLE["pcie_latency_s"]
        ),
        bytes_per_s=collectives.group_bytes_per_s(
            link=kind, gpus=n, domain_gpus=8.0, link_bytes_per_s=link_rate, link_frac=0.75,
            pcie_link_frac=TABLE["pcie_link_frac"],
        ),
    )  # fmt: skip


# Measured inside a CUDA graph: aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0), vLLM 0.24, us.
@pytest.mark.parametrize(
    ("gpus", "message", "measured_us", "tolerance"),
    [
        (2, 256, 4.3, 0.25),
        (8, 256, 4.7, 0.45),
        (4, 16 * 2**20, 99, 0.20),
        (8, 16 * 2**20, 92, 0.10),
        (8, 2**20, 15.0, 0.25),
    ],
)
def test_h100_all_reduce_against_measurements(gpus, message, measured_us, tolerance):
    seconds = float(all_reduce(Link.switch, gpus, message, 450e9))
    assert seconds * 1e6 == pytest.approx(measured_us, rel=tolerance)


@pytest.mark.parametrize(("gpus", "measured_us"), [(2, 475), (4, 887), (8, 1275)])
def test_pcie_all_reduce_against_measurements(gpus, measured_us):
    # RTX PRO 6000 over PCIe 5 x16, 16 MiB. The table's shares average this card and the L40S,
    # which is bound by its host (4 GPUs: 6676 us): slower than this card, never faster.
    seconds = float(all_reduce(Link.pcie, gpus, 16 * 2**20, 64e9))
    assert 0.9 * measured_us < seconds * 1e6 < 2.0 * measured_us


def test_one_gpu_needs_no_all_reduce():
    for link in Link:
        assert all_reduce(link, 1, 1e6, 450e9) == 0.0


def test_a_pair_in_a_mesh_is_slower_than_eight():
    # Per byte: a pair has 1 of 7 links and sends 1 x the message, eight send 1.75 x over 7.
    pair, eight = all_reduce(Link.mesh, np.array([2, 8]), 64e6, 448e9)
    assert pair == pytest.approx(4.8e-6 * 1.1 + 64e6 / (0.75 * 448e9 / 7))
    assert eight == pytest.approx(4.8e-6 * 1.4 + 1.75 * 64e6 / (0.75 * 448e9))
    assert pair > eight


@given(gpus=st.sampled_from([2, 4, 8]), message=st.floats(256, 1e9), latency=st.floats(1e-6, 2e-5))
def test_pcie_is_slower_than_nvlink_at_equal_size(gpus, message, latency):
    # The PCIe latency is a table; NVLink's stays below it up to 5 us.
    latency = min(latency, 4.5e-6)
    fast = all_reduce(Link.switch, gpus, message, 450e9, latency=latency)
    assert all_reduce(Link.pcie, gpus, message, 64e9) > fast


def test_groups_between_the_measured_sizes_lie_between():
    # 6 GPUs: half-way between 4 and 8, 19.5 us and 0.25 of the link.
    latency = collectives.group_latency_s(
        link=2, gpus=6.0, latency_s=1.0, pcie_latency_s=TABLE["pcie_latency_s"]
    )
    rate = collectives.group_bytes_per_s(
        link=2, gpus=6.0, domain_gpus=1.0, link_bytes_per_s=64e9, link_frac=1.0,
        pcie_link_frac=TABLE["pcie_link_frac"],
    )  # fmt: skip
    assert float(latency) == pytest.approx(19.5e-6)
    assert float(rate) == pytest.approx(16e9)


def test_all_to_all_against_deepep():
    # 8 H100 over NVLink, hidden 7168, top 8: 491 + 973 us for 4096 tokens a rank (DeepEP normal
    # mode, aiconfigurator-core 0.12.0). Each token goes to 5.3 distinct ranks of 8 on average,
    # where the formula charges 8: 30 us + 3.13 ms, slow by 2.2; at 128 tokens 128 against 112.
    small = collectives.all_to_all_s(
        tokens_per_gpu=128.0, copies=8, hidden=7168, latency_s=15e-6, bytes_per_s=225e9
    )
    assert float(small) * 1e6 == pytest.approx(40 + 72, rel=0.15)


def test_hops_of_one_stage_cost_nothing_and_more_stages_more():
    hops = collectives.pipeline_hops_s(
        stages=np.array([1.0, 2.0, 4.0]), tokens=50, hidden=1000, latency_s=1e-5, bytes_per_s=1e10
    )
    # 2 x 10 us + 10 us; 4 x 10 us + 30 us.
    assert hops == pytest.approx([0.0, 30e-6, 70e-6])
