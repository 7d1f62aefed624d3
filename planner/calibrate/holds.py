"""Holds: decode steps that a benchmark's server lets a new request wait on purpose.

Servers trade first-token latency for fewer interruptions: they look for new requests only every
so many steps, or gather several before they prefill. The settings are read from the published
scripts of one benchmark [1]_; plans, which serve interactive traffic, do without.

.. [1] SemiAnalysisAI/InferenceX (Apache-2.0), benchmarks/: ``--scheduler-recv-interval`` 10 below
       16 clients and 30 from there on in the SGLang scripts for Blackwell;
       ``batch_wait_timeout_iters: 20`` in the TensorRT-LLM scripts of Llama 70B for 1024/1024
       below TP 8 (October 2025).
"""

from __future__ import annotations

POLLED = ("b200", "b300", "gb200", "gb300")
POLL_STEPS_FEW, POLL_STEPS_MANY = 10.0, 30.0
MANY_CLIENTS = 16.0
GATHER_STEPS = 20.0
GATHERED_NOMINAL = 1024.0
GATHERED_TP_BELOW = 8


def poll_wait_steps(interval: float) -> float:
    """Mean steps until a server that looks every `interval` steps sees a request: half of it.

    Examples
    --------
    >>> poll_wait_steps(30)
    15.0
    """
    return interval / 2.0


def gather_wait_steps(*, timeout: float, arrivals_per_step: float) -> float:
    """Mean wait where the first request of a batch waits out `timeout` and others join it.

    The first waits W; lambda W more arrive meanwhile and wait W/2 on average:
    W (1 + lambda W / 2) / (1 + lambda W).

    Examples
    --------
    One request in 20 steps: (20 + 10) / 2.

    >>> gather_wait_steps(timeout=20, arrivals_per_step=0.05)
    15.0
    """
    joined = arrivals_per_step * timeout
    return timeout * (1.0 + joined / 2.0) / (1.0 + joined)


def hold_steps(
    *,
    source: str,
    engine: str,
    accelerator: str,
    model: str,
    tp: int,
    nominal: tuple[float, float],
    clients: float,
) -> float:
    """Steps that a request of a closed loop waits before its prefill; 0 where nothing is known.

    Parameters
    ----------
    nominal : input and output tokens as the table states them.
    clients : of one replica.
    """
    if not source.lower().startswith("inferencex"):
        return 0.0
    if engine == "sglang" and accelerator.startswith(POLLED):
        many = clients >= MANY_CLIENTS
        return poll_wait_steps(POLL_STEPS_MANY if many else POLL_STEPS_FEW)
    gathered = engine == "tensorrt-llm" and "70b" in model and tp < GATHERED_TP_BELOW
    if gathered and nominal == (GATHERED_NOMINAL, GATHERED_NOMINAL):
        return gather_wait_steps(timeout=GATHER_STEPS, arrivals_per_step=clients / nominal[1])
    return 0.0
