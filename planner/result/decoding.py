"""The decode side of a disaggregated candidate."""

from __future__ import annotations

from planner.result.record import Record


class DecodeSide(Record):
    """Replicas that only answer, beside those of the same candidate that only compute prompts."""

    accelerator: str
    tp: int
    pp: int
    ep: int
    dp: int
    replicas: int
    """Of a unit."""
    weights_gb: float
    """Weights on one accelerator, 10^9 bytes."""
    overhead_gb: float
    """Activations, graphs and framework on one accelerator."""
    kv_gb: float
    """Left for the KV cache on one accelerator."""
    kv_tokens: float
    """Tokens that one replica's cache holds."""
    sequences_max: float
    """Most sequences of mean length in flight on one replica."""
    correction_ratio: float
    """Step time by measurements of one's own over the performance model's; 1 without any."""
    band_low_frac: float
    """80 % of measurements lie between this and the next, as factors on the step time."""
    band_high_frac: float
    """The slow end."""
    planned_frac: float
    """Factor on the step time that the plan takes."""
    moved_kb_per_token: float
    """Cache of a prompt token that comes over the network, 10^3 bytes."""
    link_gb_per_s: float
    """Rate at which one prefill replica sends it, 10^9 bytes a second."""
    handover_ms: float
    """From the last byte to this side's turn."""

    @property
    def gpus(self) -> int:
        """Accelerators of one replica."""
        return self.tp * self.pp * self.dp

    @property
    def layout(self) -> str:
        """tp8, tp8pp2, tp1dp8ep8."""
        return layout(self.tp, pp=self.pp, dp=self.dp, ep=self.ep)


def layout(tp: int, *, pp: int, dp: int, ep: int) -> str:
    """Degrees of parallelism in a word.

    Examples
    --------
    >>> layout(8, pp=2, dp=1, ep=1), layout(1, pp=1, dp=8, ep=8)
    ('tp8pp2', 'tp1dp8ep8')
    """
    parts = (("pp", pp), ("dp", dp), ("ep", ep))
    return f"tp{tp}" + "".join(f"{name}{n}" for name, n in parts if n > 1)
