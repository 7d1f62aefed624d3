"""Naming: what benchmark tables call accelerators, models, formats and engines, to catalog rows.

Tables write "H200-SXM-141GB", "meta-llama/Llama-3.1-70B-Instruct", "TensorRT-LLM (pytorch)".
A name that no rule knows is refused with the nearest catalog names, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from planner.schema.catalog import Catalog

# Words that a name must contain -> catalog row; the first rule that fits wins.
_ACCELERATORS: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(words.split()), row)
    for words, row in (
        ("gb300", "gb300-nvl72"),
        ("gb200", "gb200-nvl72"),
        ("gh200 144gb", "gh200-144"),
        ("gh200 141gb", "gh200-144"),
        ("gh200", "gh200-96"),
        ("b300", "b300-sxm"),
        ("b200", "b200-sxm"),
        ("h200 nvl", "h200-nvl"),
        ("h200", "h200-sxm"),
        ("h100 nvl", "h100-nvl"),
        ("h100 pcie", "h100-pcie"),
        ("h100", "h100-sxm"),
        ("a100 pcie", "a100-80-pcie"),
        ("a100 40gb", "a100-40-sxm"),
        ("a100", "a100-80-sxm"),
        ("l40s", "l40s"),
        ("l4", "l4"),
        ("a10", "a10"),
        ("rtx pro 6000", "rtx-pro-6000-bw-server"),
        ("rtx 6000 ada", "rtx-6000-ada"),
        ("rtx 4090", "rtx-4090"),
        ("rtx 5090", "rtx-5090"),
        ("mi355x", "mi355x"),
        ("mi350x", "mi350x"),
        ("mi325x", "mi325x"),
        ("mi300x", "mi300x"),
        ("mi250x", "mi250x"),
    )
)
# Words of a model's name that say how it was trained or stored, not which architecture it is.
_TRAINING = frozenset(
    (
        *("instruct", "chat", "it", "hf", "base", "preview", "meta", "kv", "modelopt"),
        *("fp8", "fp4", "nvfp4", "mxfp4", "bf16", "fp16", "int4", "int8", "awq", "gptq"),
        *("w8a8", "w4a16", "dynamic", "quantized"),
    )
)
_RELEASE = re.compile(r"v0\.\d|\d{4}")
# Architectures that differ in nothing the model counts, and families as tables group them.
_SAME = {
    "llama-3-8b": "llama-3.1-8b",
    "llama-3-70b": "llama-3.1-70b",
    "deepseek-v3.1": "deepseek-v3",
    "kimi-k2-thinking": "kimi-k2",
    "llama3-8b": "llama-3.1-8b",
    "llama3-70b": "llama-3.1-70b",
    "llama-405b": "llama-3.1-405b",
    "llama3-405b": "llama-3.1-405b",
    "llama2-7b": "llama-2-7b",
    "llama2-70b": "llama-2-70b",
    "llama4-scout": "llama-4-scout-109b-a17b",
    "llama4-maverick": "llama-4-maverick-400b-a17b",
    "deepseek-671b": "deepseek-r1",
}
_ENGINES = (
    ("tensorrt", "tensorrt-llm"),
    ("trt", "tensorrt-llm"),
    ("vllm", "vllm"),
    ("sglang", "sglang"),
    ("sgl", "sglang"),
)
_FORMATS = {
    "bf16": "bf16",
    "fp16": "bf16",
    "float16": "bf16",
    "bfloat16": "bf16",
    "fp8": "fp8",
    "int8": "int8-w8a8",
    "nvfp4": "nvfp4",
    "fp4": "nvfp4",
    "mxfp4": "mxfp4",
    "int4": "int4-awq",
    "awq": "int4-awq",
    "gptq": "int4-gptq",
}


def _words(text: str) -> list[str]:
    return [w for w in re.split(r"[^a-z0-9.]+", text.lower()) if w]


def unknown(what: str, text: str, known: Iterable[str]) -> str:
    """Sentence that refuses a name and offers the nearest known ones.

    Examples
    --------
    >>> unknown("accelerator", "H1000", ["h100-sxm", "l40s"])
    "unknown accelerator 'H1000'; nearest: h100-sxm"
    """
    names = list(known)
    near = get_close_matches(text.rsplit("/", 1)[-1].lower(), names, n=3, cutoff=0.3)
    return f"unknown {what} {text!r}; nearest: {', '.join(near or names[:3])}"


def accelerator_of(text: str, catalog: Catalog) -> str | None:
    """Catalog row of an accelerator as a table writes it; None where no rule fits."""
    name = text.strip().lower()
    if name in catalog.accelerators:
        return name
    words = set(_words(text))
    found = (row for needed, row in _ACCELERATORS if needed <= words)
    return next((row for row in found if row in catalog.accelerators), None)


def _plain(text: str) -> str:
    tail = text.strip().rstrip("/").rsplit("/", 1)[-1]
    words = [w for w in re.split(r"[\s_-]+", tail.lower()) if w]
    return "-".join(w for w in words if w not in _TRAINING and not _RELEASE.fullmatch(w))


def model_names(catalog: Catalog) -> dict[str, str]:
    """Plain name -> catalog row, from row names and repositories."""
    names = {_plain(row.hf_repo): name for name, row in catalog.models.items()}
    names |= {_plain(name): name for name in catalog.models}
    return names | {name: name for name in catalog.models}


def model_of(text: str, family: str, names: Mapping[str, str]) -> str | None:
    """Catalog row of a model, by its own name, else by the family that the table gives it."""
    for one in (text, family):
        for name in (one.strip().lower(), _plain(one), _SAME.get(_plain(one), "")):
            if name in names:
                return names[name]
    return None


def engine_of(text: str) -> str | None:
    """Catalog row of an engine.

    Examples
    --------
    >>> engine_of("TensorRT-LLM (Triton backend)"), engine_of("SGLang 0.5"), engine_of("TGI")
    ('tensorrt-llm', 'sglang', None)
    """
    name = text.lower()
    return next((row for word, row in _ENGINES if word in name), None)


def format_of(text: str) -> str | None:
    """Catalog row of a weight format.

    Examples
    --------
    >>> format_of("FP16"), format_of("fp4"), format_of("ternary")
    ('bf16', 'nvfp4', None)
    """
    return _FORMATS.get(text.strip().lower())


def formats() -> tuple[str, ...]:
    """Weight formats that tables may name."""
    return tuple(_FORMATS)
