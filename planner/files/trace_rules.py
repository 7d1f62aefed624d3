"""What may be wrong with a trace, what cleans it, and how columns are called elsewhere.

Plain words only, so that the command line can show them without reading anything.
"""

from __future__ import annotations

CLEAN_RULES = {
    "drop-missing": "drop rows with a blank figure",
    "drop-unreadable": "drop rows with something that is no number or time",
    "drop-negative": "drop rows with a length below zero",
    "drop-zero": "drop rows with a prompt or an answer of no token (failed requests)",
    "drop-absurd": "drop rows with a length above 10,000,000 tokens",
    "clip-hits": "cut prefix hits to 0 and to the prompt",
    "naive-local": "read stamps without an offset on the clock of --timezone",
    "sort": "put rows in the order of time",
    "drop-duplicates": "drop rows that repeat time and lengths of another",
    "keep-holes": "count hours without a request as quiet hours",
    "skip-holes": "count hours without a request as not recorded",
}
"""Rule -> what it does."""

ROLES = ("timestamp", "input_tokens", "output_tokens", "hit_tokens")
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Unit -> seconds."""

KNOWN_NAMES = {
    "timestamp": (
        "timestamp", "time", "arrival time", "arrived at", "arrival timestamp", "request time",
        "start time", "datetime", "created", "created at", "ts",
    ),
    "input_tokens": (
        "input tokens", "input length", "input len", "context tokens", "request tokens",
        "prompt tokens", "prompt length", "prompt len", "num prefill tokens",
        "usage.prompt_tokens", "usage.input_tokens",
    ),
    "output_tokens": (
        "output tokens", "output length", "output len", "generated tokens", "response tokens",
        "completion tokens", "num decode tokens", "usage.completion_tokens",
        "usage.output_tokens",
    ),
    "hit_tokens": (
        "hit tokens", "prefix hit tokens", "derived ideal prefix hit tokens", "cached tokens",
        "cache read input tokens", "prompt cache hit tokens",
        "usage.prompt_tokens_details.cached_tokens", "usage.cache_read_input_tokens",
    ),
}  # fmt: skip
"""Role -> column names, in any case and with any separator: of the Azure LLM inference, Mooncake,
BurstGPT and Vidur traces and of logs in OpenAI's style."""
