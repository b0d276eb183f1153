"""How a small random Hugging Face model becomes a zoo entry; nothing is ever downloaded.

Text models are called through ``inputs_embeds``, so that attributions are those of the embeddings.
Transformers is imported when a model is built, not before.
"""

import os
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .entry import ZooModel, entry

LENGTH, WIDTH = 6, 32
TEXT = (LENGTH, WIDTH)
LABELS = {"num_labels": 3}
ENCODER = {
    "vocab_size": 40,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    **LABELS,
}
DECODER = {**ENCODER, "num_key_value_heads": 2, "head_dim": 8}

# Measured by test_zoo.py: rotary angles, softmax, root mean square or scan states in float32.
FLOAT32_ISLANDS = frozenset(
    {
        "bloom",
        "codegen",
        "cohere",
        "deberta",
        "diffllama",
        "exaone4",
        "falcon_mamba",
        "funnel",
        "gemma",
        "gemma2",
        "gemma_sdpa",
        "glm",
        "gpt_neo",
        "gpt_neox",
        "gpt_oss",
        "gptj",
        "granite",
        "helium",
        "jamba",
        "lfm2",
        "llama",
        "llama_sdpa",
        "longformer",
        "longt5",
        "mamba",
        "mamba2",
        "mistral",
        "mistral_sdpa",
        "mixtral",
        "modernbert",
        "mt5_gated",
        "nemotron",
        "olmo2",
        "persimmon",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "recurrent_gemma",
        "rwkv",
        "smollm3",
        "stablelm",
        "starcoder2",
        "t5",
        "t5_encoder",
        "umt5",
        "vit_eager",
        "xlstm",
    }
)
# A custom autograd.Function: a GELU, a square root with a bounded derivative, reversible layers.
OPAQUE = frozenset({"bloom", "recurrent_gemma", "reformer"})
# The router picks experts by top-k, which jumps with the input.
ROUTED = frozenset({"gpt_oss", "mixtral", "qwen2_moe"})


def random_model(config: str, model: str, options: dict[str, Any], attention: str | None) -> Callable[[], nn.Module]:
    """A function that builds ``model`` from ``config(**options)`` with an attention implementation."""

    def make() -> nn.Module:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import transformers

        settings = getattr(transformers, config)(**options)
        if attention is not None:
            settings._attn_implementation = attention
        if hasattr(settings, "_experts_implementation"):
            settings._experts_implementation = "eager"  # the grouped kernel refuses float64
        return getattr(transformers, model)(settings)

    return make


def by_embeddings(model: nn.Module, embeddings: Tensor) -> Any:
    return model(inputs_embeds=embeddings)


def without_cache(model: nn.Module, embeddings: Tensor) -> Any:
    return model(inputs_embeds=embeddings, use_cache=False)


def hugging_face(
    name: str,
    family: str,
    config: str,
    model: str,
    options: dict[str, Any],
    *shapes: tuple[int, ...],
    attention: str | None = None,
    **settings: Any,
) -> ZooModel:
    """An entry of a Hugging Face model with 2 examples, weights 1.5 times the scale-keeping ones."""
    return entry(
        f"hf_{name}",
        family,
        random_model(config, model, options, attention),
        *shapes,
        float32_islands=name in FLOAT32_ISLANDS,
        switches=name in ROUTED,
        opaque=name in OPAQUE,
        **({"examples": 2, "gain": 1.5} | settings),
    )
