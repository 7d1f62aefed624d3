"""Mixture of experts: which experts a batch touches, and what their kernels waste.

.. [1] Expected number of occupied cells when T tokens choose k of E without preference;
       W. Feller, An Introduction to Probability Theory and Its Applications, vol. 1, IV.2.
"""

from __future__ import annotations

import numpy as np

from planner.perf.shapes import Array, Numbers

REFERENCE_EXPERTS = 256.0


def experts_touched(*, experts: Numbers, experts_per_token: Numbers, tokens: Numbers) -> Array:
    r"""Expected distinct experts of a layer that T tokens visit [1]_.

    .. math:: E_t = E \left(1 - (1 - k/E)^T\right)

    0 for dense models (E = 0) and for empty batches; never above E nor above k T (T >= 1).

    Examples
    --------
    Two tokens, 1 of 4 experts each: 4 (1 - 0.75^2) = 1.75.

    >>> float(experts_touched(experts=4, experts_per_token=1, tokens=2))
    1.75
    >>> float(experts_touched(experts=0, experts_per_token=0, tokens=64))
    0.0
    """
    e, k = np.asarray(experts, float), np.asarray(experts_per_token, float)
    # Below 1 so that the logarithm is finite where a token visits every expert; (1e-15)^T = 0.
    share = np.minimum(k / np.maximum(e, 1.0), 1.0 - 1e-15)
    missed = np.exp(np.asarray(tokens, float) * np.log1p(-share))
    return np.asarray(e * (1.0 - missed))


def routing_share(*, experts: Numbers) -> Array:
    """Cost of routing and permuting a layer over that of a layer of 256 experts, E / 256.

    Rows are counted and aligned for each expert, and grouped kernels walk over all of them,
    whatever their tokens. Held-out errors were lower than with a cost that all models share, or
    one that grows with the experts per token.

    Examples
    --------
    >>> float(routing_share(experts=128))
    0.5
    """
    return np.asarray(np.asarray(experts, float) / REFERENCE_EXPERTS)


def imbalance(*, expert_groups: Numbers, imbalance_frac: Numbers) -> Array:
    """Load of the busiest expert group over the mean, 1 + f (1 - 1/EP); 1 for one group.

    Examples
    --------
    >>> round(float(imbalance(expert_groups=8, imbalance_frac=0.05)), 5)
    1.04375
    """
    groups = np.asarray(expert_groups, float)
    return np.asarray(1.0 + np.asarray(imbalance_frac, float) * (1.0 - 1.0 / groups))


def padded_rows(
    *,
    tokens: Numbers,
    experts_per_token: Numbers,
    touched: Numbers,
    tile_rows: Numbers,
) -> Array:
    """Rows that grouped kernels compute: k T routed, and the unfilled part of each tile.

    Examples
    --------
    64 tokens to 8 experts each, 100 touched, 48 wasted rows an expert: 512 + 4800.

    >>> float(padded_rows(tokens=64, experts_per_token=8, touched=100, tile_rows=48))
    5312.0
    """
    routed = np.asarray(tokens, float) * experts_per_token
    return np.asarray(routed + np.asarray(tile_rows, float) * touched)
