"""Device by torch: times work on the first CUDA (or ROCm) GPU with events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from planner.calibrate.device import Copy, Decode, Gemm, Launch, Work
from planner.errors import ScenarioError

WARM_UP = 5
MILLISECOND_S = 1e-3  # events give milliseconds


class TorchDevice:
    """The current GPU of torch."""

    def __init__(self, torch: Any) -> None:
        self._torch, self._device = torch, "cuda"
        self._on = {"device": self._device, "dtype": torch.bfloat16}
        self.name = str(torch.cuda.get_device_name())
        runtime = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
        self.software = f"torch {torch.__version__}, {runtime}"
        free, _ = torch.cuda.mem_get_info()
        self.memory_bytes = float(free)

    def times_s(self, work: Work, *, repeats: int) -> Sequence[float]:
        """Seconds of each repetition between two events, after `WARM_UP` that do not count."""
        run, cuda = self._call(work), self._torch.cuda
        for _ in range(WARM_UP):
            run()
        pairs = [[cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
        for start, end in pairs:
            start.record()
            run()
            end.record()
        cuda.synchronize()
        return [start.elapsed_time(end) * MILLISECOND_S for start, end in pairs]

    def _call(self, work: Work) -> Callable[[], Any]:
        """What one repetition runs; its tensors live as long as the function."""
        torch = self._torch
        if isinstance(work, Gemm):
            left = torch.randn(work.rows, work.inner, **self._on)
            right = torch.randn(work.inner, work.columns, **self._on)
            return lambda: torch.matmul(left, right)
        if isinstance(work, Copy):
            source = torch.empty(int(work.size_bytes), device=self._device, dtype=torch.uint8)
            target = torch.empty_like(source)
            return lambda: target.copy_(source)
        if isinstance(work, Decode):
            return self._decode(work)
        return self._launches(work)

    def _decode(self, work: Decode) -> Callable[[], Any]:
        torch = self._torch
        attend = torch.nn.functional.scaled_dot_product_attention
        groups = work.heads // work.kv_heads
        # Query heads of a group as rows of one query: the cache is then read once, as engines do.
        shape = (work.sequences, work.kv_heads)
        query = torch.randn(*shape, groups, work.head_dim, **self._on)
        keys = torch.randn(*shape, work.context_tokens, work.head_dim, **self._on)
        values = torch.randn(*shape, work.context_tokens, work.head_dim, **self._on)
        return lambda: attend(query, keys, values)

    def _launches(self, work: Launch) -> Callable[[], Any]:
        torch = self._torch
        one = torch.zeros(1, device=self._device)

        def eager() -> None:
            for _ in range(work.kernels):
                one.add_(1.0)

        if not work.captured:
            return eager
        eager()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            eager()
        replay: Callable[[], Any] = graph.replay
        return replay


def torch_device() -> TorchDevice:
    """The GPU of this machine.

    Raises
    ------
    ScenarioError : no torch, or torch sees no GPU, with what to do.
    """
    try:
        import torch  # noqa: PLC0415 - an optional extra of some gigabytes
    except ImportError as error:
        raise ScenarioError(
            "calibrate device",
            ["measuring needs torch: pip install 'inference-fleet-planner[device]' on the "
             "machine with the GPU"],
        ) from error  # fmt: skip
    if not torch.cuda.is_available():
        raise ScenarioError(
            "calibrate device",
            [f"torch {torch.__version__} sees no GPU: run it on the machine that has one, with a "
             "torch built for its CUDA or ROCm (python -c 'import torch; "
             "print(torch.cuda.is_available())' must say True); without one, bring in benchmark "
             "results with planner calibrate import"],
        )  # fmt: skip
    return TorchDevice(torch)
