"""Collectives: all-reduce, all-to-all and pipeline hops between the GPUs of a replica.

.. [1] NVIDIA, nccl-tests, doc/PERFORMANCE.md: bus-bandwidth factors of collectives.
.. [2] aiconfigurator-core 0.12.0 (NVIDIA, Apache-2.0), measured all-reduce tables of vLLM,
       SGLang and TensorRT-LLM.
.. [3] AMD, "Understanding RCCL bandwidth and xGMI performance on MI300X", ROCm blogs.
"""

from __future__ import annotations

import numpy as np

from planner.perf.shapes import Array, Link, Numbers, Whole

LATENCY_GROWTH_PER_GPU = 0.05
"""All-reduce latency grows by 5 % a GPU: 4.3 us at 2, 4.7 us at 8 H100 [2]_."""
PCIE_GROUPS = (2.0, 4.0, 8.0)
"""Group sizes of the measured PCIe table; sizes between are interpolated, above 8 held."""


def ring_factor(gpus: Numbers) -> Array:
    """Bytes that each GPU sends per byte all-reduced, 2 (n-1)/n [1]_; 0 for one GPU.

    Examples
    --------
    >>> float(ring_factor(8))
    1.75
    """
    n = np.asarray(gpus, float)
    return np.asarray(2 * (n - 1) / n)


def mesh_share_frac(*, gpus: Numbers, domain_gpus: Numbers) -> Array:
    """Share of a GPU's links that a group of n uses in a full mesh of N, (n-1)/(N-1) [3]_.

    Examples
    --------
    Two of eight MI300X talk over one of seven links.

    >>> round(float(mesh_share_frac(gpus=2, domain_gpus=8)), 4)
    0.1429
    """
    peers = np.maximum(np.asarray(domain_gpus, float) - 1, 1)
    return np.asarray(np.minimum((np.asarray(gpus, float) - 1) / peers, 1.0))


def all_reduce_s(
    *,
    message_bytes: Numbers,
    gpus: Numbers,
    latency_s: Numbers,
    bytes_per_s: Numbers,
) -> Array:
    r"""Time to sum one message over n GPUs [s]; 0 for one GPU.

    .. math:: t = \alpha + \frac{2 (n-1)}{n} \frac{M}{\beta}

    Parameters
    ----------
    message_bytes : M, the message on each GPU.
    latency_s : alpha, of a small message in this group.
    bytes_per_s : beta, achieved per direction and GPU.

    Examples
    --------
    16 MiB over 8 H100 at 0.75 x 450 GB/s: 5 us + 1.75 x 16.78 MB / 337.5 GB/s = 92 us, as
    measured [2]_ (92 us).

    >>> t = all_reduce_s(message_bytes=2**24, gpus=8, latency_s=5e-6, bytes_per_s=0.75 * 450e9)
    >>> round(float(t) * 1e6, 1)
    92.0
    """
    alone = np.asarray(gpus, float) <= 1
    transfer_s = ring_factor(gpus) * message_bytes / np.asarray(bytes_per_s, float)
    return np.asarray(np.where(alone, 0.0, latency_s + transfer_s))


def group_latency_s(
    *, link: Whole | int, gpus: Numbers, latency_s: Numbers, pcie_latency_s: Array
) -> Array:
    """Small-message all-reduce latency of a group [s].

    Switch and mesh: alpha (1 + 0.05 n). PCIe: the measured table, linear between its sizes.

    Examples
    --------
    >>> both = group_latency_s(link=np.array([0, 2]), gpus=np.array([8.0, 6.0]), latency_s=5e-6,
    ...                        pcie_latency_s=np.array([5e-6, 14e-6, 25e-6]))
    >>> [round(float(t) * 1e6, 2) for t in both]
    [7.0, 19.5]
    """
    n = np.asarray(gpus, float)
    fast = np.asarray(latency_s, float) * (1 + LATENCY_GROWTH_PER_GPU * n)
    slow = np.interp(n, PCIE_GROUPS, np.asarray(pcie_latency_s, float))
    return np.asarray(np.where(np.asarray(link) == Link.pcie, slow, fast))


def group_bytes_per_s(
    *,
    link: Whole | int,
    gpus: Numbers,
    domain_gpus: Numbers,
    link_bytes_per_s: Numbers,
    link_frac: Numbers,
    pcie_link_frac: Array,
) -> Array:
    """Rate per direction and GPU that large all-reduces of a group reach [bytes/s].

    Switch: link_frac x link. Mesh: that x (n-1)/(N-1). PCIe: the measured share by group size.

    Examples
    --------
    >>> rate = group_bytes_per_s(link=np.array([0, 1, 2]), gpus=4, domain_gpus=8,
    ...     link_bytes_per_s=np.array([450e9, 448e9, 64e9]), link_frac=0.75,
    ...     pcie_link_frac=np.array([0.6, 0.3, 0.2]))
    >>> [round(float(r) / 1e9, 1) for r in rate]
    [337.5, 144.0, 19.2]
    """
    kind = np.asarray(link)
    share = np.where(
        kind == Link.mesh, mesh_share_frac(gpus=gpus, domain_gpus=domain_gpus), 1.0
    ) * np.asarray(link_frac, float)
    table = np.interp(np.asarray(gpus, float), PCIE_GROUPS, np.asarray(pcie_link_frac, float))
    rate = np.asarray(link_bytes_per_s, float) * np.where(kind == Link.pcie, table, share)
    return np.asarray(np.where(np.asarray(gpus) > 1, rate, link_bytes_per_s))


def all_to_all_s(
    *,
    tokens_per_gpu: Numbers,
    copies: Numbers,
    hidden: Numbers,
    latency_s: Numbers,
    bytes_per_s: Numbers,
) -> Array:
    r"""Dispatch to experts and combine of one layer [s].

    .. math:: t = 2\alpha + \frac{T\,c\,h\,3}{\beta}

    Each of T tokens goes to c GPUs at 1 byte an element (fp8) and comes back at 2 (bf16).

    Parameters
    ----------
    tokens_per_gpu : T.
    copies : c = min(experts per token, expert groups).

    Examples
    --------
    128 tokens, 8 copies, hidden 7168, 15 us, 0.5 x 450 GB/s: 30 + 97.9 us = 127.9 us
    (DeepEP measures 40 + 72 us on 8 H100).

    >>> t = all_to_all_s(tokens_per_gpu=128, copies=8, hidden=7168, latency_s=15e-6,
    ...                  bytes_per_s=225e9)
    >>> round(float(t) * 1e6, 1)
    127.9
    """
    sent = np.asarray(tokens_per_gpu, float) * copies * hidden * 3.0
    return np.asarray(2 * np.asarray(latency_s, float) + sent / bytes_per_s)


def pipeline_hops_s(
    *,
    stages: Numbers,
    tokens: Numbers,
    hidden: Numbers,
    latency_s: Numbers,
    bytes_per_s: Numbers,
) -> Array:
    """Hidden states of one micro-batch through all pipeline stages [s]; 0 for one stage.

    p - 1 transfers of T h 2 bytes, and p latencies: the sampled token returns to the first.

    Examples
    --------
    100 tokens of hidden 8192 over 50 GB/s, two stages: 2 x 10 us + 32.8 us.

    >>> t = pipeline_hops_s(stages=2, tokens=100, hidden=8192, latency_s=1e-5, bytes_per_s=5e10)
    >>> round(float(t) * 1e6, 1)
    52.8
    """
    p = np.asarray(stages, float)
    transfer_s = (p - 1) * np.asarray(tokens, float) * hidden * 2.0 / bytes_per_s
    return np.asarray(np.where(p > 1, p * np.asarray(latency_s, float) + transfer_s, 0.0))
