"""Catalog rows: accelerators, models, engines, quantization, prices, facilities, calibration.

Vendor units in the keys; `candidates` converts once. Blank means unknown and stays unknown.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.schema.base import Frac, Frozen, NonNegative, Positive, Sourced

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Count = Annotated[int, Field(ge=0)]


class Accelerator(Sourced):
    """One accelerator SKU as it is deployed. Peaks are dense."""

    vendor: str
    """Maker."""
    title: str
    """Name in reports."""
    architecture: str
    """As the maker calls it: Hopper, Blackwell, CDNA3."""
    generation: str
    """Calibration family: ampere, ada, hopper, blackwell, blackwell-rtx, cdna3, cdna4, ..."""
    form_factor: str
    """SXM5, OAM, PCIe, rack."""
    memory_gb: Positive
    """Memory as the maker states it, 10^9 bytes unless the note says otherwise."""
    memory_usable_gib: Positive | None = None
    """Memory that the driver reports, 2^30 bytes."""
    memory_type: str = ""
    """HBM3e, GDDR6."""
    memory_tb_per_s: Positive | None = None
    """Memory bandwidth."""
    fp32_tflop_per_s: Positive | None = None
    """Vector fp32 peak."""
    bf16_tflop_per_s: Positive | None = None
    """Dense bf16 peak."""
    fp8_tflop_per_s: Positive | None = None
    """Dense fp8 peak; blank: no native fp8."""
    int8_tflop_per_s: Positive | None = None
    """Dense int8 peak."""
    fp4_tflop_per_s: Positive | None = None
    """Dense fp4 peak; blank: no native fp4."""
    fp4_formats: tuple[Literal["nvfp4", "mxfp4"], ...] = ()
    """FP4 formats at native rate."""
    scaleup_link: str = ""
    """Link inside the domain."""
    scaleup_gb_per_s: Positive | None = None
    """Per direction and accelerator."""
    scaleup_domain_gpus: Annotated[int, Field(ge=1)] = 1
    """Accelerators that share the fast link; 1: PCIe only."""
    scaleup_mesh: bool = False
    """Point-to-point mesh (xGMI), not a switch: a group of n uses (n-1)/(N-1) of the links."""
    host_gb_per_s: Positive | None = None
    """PCIe or host link, per direction."""
    scaleout_gbit_per_s: Positive | None = None
    """Network port per accelerator."""
    tdp_w: Positive | None = None
    """Board power limit."""
    gpus_per_node: Annotated[int, Field(ge=1)] = 8
    """Accelerators in a node (tray, of rack-scale systems): the unit of failure."""
    node_kw: Positive | None = None
    """Most IT power of a node."""
    node_kw_basis: Literal["quoted", "derived"] = "quoted"
    """Derived: accelerators x TDP x 1.6, the ratio of DGX B300 (14.0 kW to 8 x 1.1 kW)."""
    lot_gpus: Annotated[int, Field(ge=1)] = 8
    """Accelerators in the smallest purchase: a node, or a whole rack."""
    lot_name: Literal["node", "rack"] = "node"
    """What a lot is called."""
    nodes_per_rack_max: Annotated[int, Field(ge=1)] = 4
    """Most nodes a rack holds by height, whatever its power."""
    cooling: Literal["air", "liquid"] = "air"
    """Cooling that it needs."""
    launch: str = ""
    """Launch date as the source gives it."""
    purchasable: str = ""
    """How it can be had, as the source gives it."""
    lead_time_months: Annotated[int, Field(ge=0, le=36)] | None = None
    """Order to in service."""
    plannable: bool
    """False: present and labelled, but excluded from plans."""
    excluded_because: str = ""
    """Why it is excluded: public data do not suffice."""
    to_confirm: str = ""
    """Fields not read in a source."""


class Model(Sourced):
    """One language model's architecture."""

    family: str
    """Family name."""
    hf_repo: str
    """Repository name at the hub."""
    total_params_b: Positive
    """All parameters, 10^9."""
    active_params_b: Positive
    """Parameters used for one token, 10^9."""
    active_params_excl_embedding_b: Positive
    """The same without the input embedding, 10^9."""
    layers: Annotated[int, Field(ge=1)]
    """Transformer layers."""
    hidden: Annotated[int, Field(ge=1)]
    """Hidden size."""
    intermediate: Count = 0
    """Dense feed-forward size."""
    heads: Annotated[int, Field(ge=1)]
    """Attention heads."""
    kv_heads: Annotated[int, Field(ge=1)]
    """Key/value heads."""
    head_dim: Annotated[int, Field(ge=1)]
    """Size of a head."""
    vocab: Annotated[int, Field(ge=1)]
    """Vocabulary size."""
    attention: Literal["MHA", "GQA", "MQA", "MLA", "hybrid"]
    """Kind of attention; hybrid mixes full attention with linear or state-space layers."""
    attention_as_stated: str
    """The source's own words for it."""
    kv_lora_rank: Count = 0
    """Latent size of multi-head latent attention."""
    qk_rope_dim: Count = 0
    """Rotary part of the latent cache."""
    qk_nope_dim: Count = 0
    """Non-rotary part of query and key heads."""
    v_head_dim: Count = 0
    """Value head size, where it differs."""
    sliding_window: Count = 0
    """Window of the windowed layers [tokens]; 0: none."""
    full_layers: Count
    """Layers whose cache grows with the whole context."""
    window_layers: Count = 0
    """Layers whose cache stops at the window."""
    linear_layers: Count = 0
    """Linear-attention or state-space layers."""
    state_elems_per_sequence: NonNegative = 0
    """Recurrent state of a sequence over all such layers [elements]."""
    kv_elems_per_token_full: NonNegative
    """Cache elements a token adds over the full layers."""
    kv_elems_per_token_window: NonNegative = 0
    """Cache elements a token adds over the windowed layers, up to the window."""
    experts: Count = 0
    """Routed experts a layer; 0: dense."""
    experts_per_token: Count = 0
    """Routed experts a token visits."""
    shared_experts: Count = 0
    """Experts every token visits."""
    moe_intermediate: Count = 0
    """Feed-forward size of one expert."""
    shared_intermediate: Count = 0
    """Feed-forward size of the shared experts together."""
    moe_layers: Count = 0
    """Layers with experts."""
    max_context: Annotated[int, Field(ge=1)]
    """Longest context [tokens]."""
    tied_embeddings: bool = False
    """Input and output embeddings are one matrix."""
    checkpoint: str
    """Data type of the official checkpoint, in the source's words."""
    native_quantization: str | None = None
    """Scheme in which the weights were released (recovery 1 by construction)."""
    licence: str
    """Licence."""


class Engine(Sourced):
    """A serving engine and what it can do."""

    title: str
    """Name in reports."""
    plannable: bool
    """False: described, but no calibration exists; excluded from plans."""
    excluded_because: str = ""
    """Why it is excluded."""
    calibration: Literal["vllm", "trt", "sgl"] | None = None
    """Which engine's calibrated constants it uses."""
    vendors: tuple[str, ...]
    """Accelerator vendors it runs on."""
    generations_excluded: tuple[str, ...] = ()
    """Generations of these vendors that it does not run on."""
    quantizations: tuple[str, ...]
    """Weight formats it serves."""
    kv_dtypes: tuple[str, ...]
    """KV cache formats it serves."""
    modes: tuple[Literal["continuous", "chunked", "disaggregated"], ...]
    """Batching modes; disaggregated: prompts and answers on replicas of their own."""
    features: dict[str, bool]
    """Named features: prefix_caching, disaggregated, speculative, pipeline_parallel, ..."""
    version: str
    """Version the calibration or the description refers to."""


class Quantization(Sourced):
    """A weight or KV-cache format."""

    title: str
    """Name in reports."""
    applies_to: Literal["weights", "kv"]
    """What is stored in it."""
    bits_per_element: Positive
    """Stored bits an element, scales included."""
    compute: Literal["fp32", "bf16", "fp8", "int8", "fp4"]
    """Precision of the arithmetic where support is native."""
    parts: Literal["linear", "experts"] = "linear"
    """Which matrices are quantized; embeddings and output head stay bf16."""
    native_generations: tuple[str, ...]
    """Generations with tensor-core arithmetic in the format."""
    weight_only_generations: tuple[str, ...] = ()
    """Generations that store it and compute in bf16."""
    recovery: tuple[RecoveryPoint, ...]
    """Quality against unquantized, by model size."""


class RecoveryPoint(Frozen):
    """Recovery of models of at least this size."""

    params_b_min: NonNegative
    """Smallest model, 10^9 parameters."""
    recovery_frac: Annotated[float, Field(gt=0, le=1)]
    """Quantized score / unquantized score."""


Quantization.model_rebuild()


class Price(Sourced):
    """One quotation or derived central value."""

    option: Literal[
        "capex", "on_demand", "reserved_1y", "reserved_3y", "reserved_5y", "monthly",
        "capacity_block", "spot",
    ]  # fmt: skip
    """What is paid for."""
    accelerator: str
    """Catalog name."""
    provider: str
    """Seller."""
    usd: Positive
    """Price."""
    usd_low: Positive | None = None
    """Low end of the range."""
    usd_high: Positive | None = None
    """High end of the range."""
    unit: Literal["usd_per_lot", "usd_per_gpu", "usd_per_gpu_h"]
    """Unit of the price."""
    region: str = ""
    """Where."""
    item: str = ""
    """Product, in the source's words."""
    confidence: Literal["high", "medium", "low"]
    """How well sourced."""
    includes_network: bool = False
    """The price includes the network (capex of rack systems)."""
    recommended: bool = False
    """The row plans use by default: one a (accelerator, option)."""


class ApiPrice(Sourced):
    """Per-token price of one hosted model."""

    provider: str
    """Seller."""
    product: str
    """Product, in the seller's words."""
    model: str | None
    """Catalog name of the same open model; blank for closed models."""
    input_usd_per_mtoken: Positive
    """Input tokens."""
    output_usd_per_mtoken: Positive
    """Output tokens."""
    cached_input_usd_per_mtoken: Positive | None = None
    """Input tokens found in the provider's cache."""
    batch_input_usd_per_mtoken: Positive | None = None
    """Input tokens of the batch service."""
    batch_output_usd_per_mtoken: Positive | None = None
    """Output tokens of the batch service."""
    confidence: Literal["high", "medium", "low"]
    """How well sourced."""


class Facility(Sourced):
    """Typical figures of a kind of place."""

    title: str
    """Name in reports."""
    pue: Annotated[float, Field(ge=1, le=3)]
    """Facility power / IT power."""
    electricity_usd_per_kwh: NonNegative
    """Electricity."""
    rent_usd_per_kw_month: NonNegative
    """Rent for contracted IT power."""
    carbon_kg_per_kwh: NonNegative
    """Carbon intensity."""


class Assumption(Sourced):
    """A single figure that belongs to no table: failure rates, load factors, residual points."""

    value: float
    """The figure."""
    unit: str
    """Its unit."""
    low: float | None = None
    """Low end."""
    high: float | None = None
    """High end."""


class Calibration(Sourced):
    """A fitted coefficient of the performance model."""

    value: float
    """The coefficient."""
    unit: str
    """Its unit."""
    applies_to: str
    """Engine, generation or precision it is for."""


class Correction(Sourced):
    """What one's own measurements say of a model on an accelerator with an engine."""

    accelerator: str
    """Catalog name."""
    model: str
    """Catalog name."""
    engine: str
    """Catalog name."""
    time_ratio: Annotated[float, Field(ge=0.1, le=10)]
    """Step time as measured over that of the performance model: 1.2 is 20 % slower."""
    band_low_frac: Annotated[float, Field(gt=0, le=1)]
    """A tenth of measurements lies below this share of the corrected time per output token."""
    band_high_frac: Annotated[float, Field(ge=1)]
    """A tenth lies above this multiple of it."""
    points: Annotated[int, Field(ge=1)]
    """Measured operating points behind it."""


class Speculator(Sourced):
    """A draft for speculative decoding of one model, and how often its tokens are accepted."""

    title: str
    """Name in reports."""
    model: str
    """Catalog name of the model whose tokens it drafts."""
    method: Literal["eagle3", "mtp"]
    """eagle3: a head of its own; mtp: a layer that came with the model's weights."""
    hf_repo: str = ""
    """Repository of the head; blank where the model's own weights hold it."""
    drafted_tokens: Annotated[int, Field(ge=1, le=16)]
    """Tokens drafted in a row before a step of the model verifies them."""
    acceptance_frac: Annotated[float, Field(ge=0, lt=1)]
    """Chance that a drafted token is accepted where those before it were."""
    params_b: Positive
    """Billion parameters that it adds in memory."""
    params_read_b: Positive
    """Billion parameters that it reads to draft a token."""
    bytes_per_param: Positive
    """Of its weights."""
    engines: tuple[str, ...]
    """Serving engines that run it."""


class Catalog(Frozen):
    """All rows, by name."""

    accelerators: dict[Name, Accelerator]
    """accelerators.yaml"""
    models: dict[Name, Model]
    """models.yaml"""
    engines: dict[Name, Engine]
    """engines.yaml"""
    quantizations: dict[Name, Quantization]
    """quantization.yaml"""
    prices: tuple[Price, ...]
    """prices.yaml"""
    api_prices: tuple[ApiPrice, ...]
    """api_prices.yaml"""
    facilities: dict[Name, Facility]
    """facilities.yaml"""
    assumptions: dict[Name, Assumption]
    """assumptions.yaml"""
    calibration: dict[Name, Calibration]
    """calibration/*.yaml"""
    speculators: dict[Name, Speculator] = Field(default_factory=dict)
    """speculators.yaml"""
    corrections: dict[Name, Correction] = Field(default_factory=dict)
    """corrections.yaml, of an overlay: one's own measurements"""

    def correction(self, accelerator: str, model: str, engine: str) -> Correction | None:
        """What one's own measurements say of a group; None where there are none."""
        return self.corrections.get(correction_name(accelerator, model, engine))


def correction_name(accelerator: str, model: str, engine: str) -> str:
    """Name of a group's row in corrections.yaml."""
    return f"{accelerator}--{model}--{engine}"


__all__ = [
    "Accelerator", "ApiPrice", "Assumption", "Calibration", "Catalog", "Correction", "Engine",
    "Facility", "Frac", "Model", "Price", "Quantization", "RecoveryPoint", "Speculator",
    "correction_name",
]  # fmt: skip
