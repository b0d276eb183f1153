"""Hugging Face language models: encoders, decoders, state spaces."""

from typing import Any

from torch import Tensor, nn

from .entry import ZooModel, field
from .hugging_face import DECODER, ENCODER, LABELS, TEXT, WIDTH, by_embeddings, hugging_face, without_cache

TOKENS = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ENCODERS = {
    "bert": ("Bert", {}),
    "roberta": ("Roberta", {}),
    "electra": ("Electra", {"embedding_size": WIDTH}),
    "albert": ("Albert", {"embedding_size": WIDTH, "num_hidden_groups": 1}),
    "mpnet": ("MPNet", {}),
    "deberta": ("Deberta", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "deberta_v2": ("DebertaV2", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "camembert": ("Camembert", {}),
    "convbert": ("ConvBert", {"embedding_size": WIDTH, "head_ratio": 2, "conv_kernel_size": 3}),
    "rembert": ("RemBert", {"input_embedding_size": WIDTH, "output_embedding_size": WIDTH}),
    "roformer": ("RoFormer", {"embedding_size": WIDTH}),
    "squeezebert": ("SqueezeBert", {"embedding_size": WIDTH}),
    "nystromformer": ("Nystromformer", {"num_landmarks": 3, "segment_means_seq_len": 6}),
    "fnet": ("FNet", {}),
    "megatron_bert": ("MegatronBert", {}),
    "modernbert": ("ModernBert", {"cls_token_id": 1, "sep_token_id": 2}),
    "layoutlm": ("LayoutLM", {}),
    "ernie": ("Ernie", {}),
    "roc_bert": ("RoCBert", {"enable_pronunciation": False, "enable_shape": False}),
    "big_bird": ("BigBird", {"attention_type": "original_full"}),
    "xlm_roberta_xl": ("XLMRobertaXL", {}),
}

DECODERS = {
    "granite": ("Granite", {}),
    "cohere": ("Cohere", {}),
    "olmo2": ("Olmo2", {}),
    "nemotron": ("Nemotron", {}),
    "helium": ("Helium", {}),
    "diffllama": ("DiffLlama", {}),
    "exaone4": ("Exaone4", {"sliding_window": 3}),
    "smollm3": ("SmolLM3", {}),
    "lfm2": ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
    "recurrent_gemma": (
        "RecurrentGemma",
        {"block_types": ["recurrent", "attention"], "lru_width": WIDTH, "attention_window_size": 4},
    ),
    "jamba": (
        "Jamba",
        {
            "num_experts": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 4,
        },
    ),
    "gpt_oss": ("GptOss", {"num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 3}),
    "gpt_neox": ("GPTNeoX", {}),
    "llama": ("Llama", {}),
    "mistral": ("Mistral", {"sliding_window": 3}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {}),
    "gemma": ("Gemma", {}),
    "gemma2": ("Gemma2", {"sliding_window": 3, "query_pre_attn_scalar": 8}),
    "phi": ("Phi", {}),
    "phi3": ("Phi3", {}),
    "stablelm": ("StableLm", {}),
    "persimmon": ("Persimmon", {}),
    "starcoder2": ("Starcoder2", {}),
    "glm": ("Glm", {}),
    "mixtral": ("Mixtral", {"num_local_experts": 3}),
    "qwen2_moe": (
        "Qwen2Moe",
        {
            "num_experts": 3,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 24,
            "shared_expert_intermediate_size": 24,
        },
    ),
}

OTHERS = {
    "distilbert": (
        "DistilBertConfig",
        "DistilBertForSequenceClassification",
        {**TOKENS, "dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, **LABELS},
    ),
    "gpt2": (
        "GPT2Config",
        "GPT2LMHeadModel",
        {**TOKENS, "n_positions": 24, "n_embd": WIDTH, "n_layer": 2, "n_head": 4},
    ),
    "gpt_neo": (
        "GPTNeoConfig",
        "GPTNeoForCausalLM",
        {
            **TOKENS,
            "hidden_size": WIDTH,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 3,
            "max_position_embeddings": 24,
        },
    ),
    "gptj": (
        "GPTJConfig",
        "GPTJForCausalLM",
        {**TOKENS, "n_positions": 24, "n_embd": WIDTH, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    ),
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        {
            **{k: v for k, v in ENCODER.items() if k != "intermediate_size"},
            "ffn_dim": 48,
            "word_embed_proj_dim": WIDTH,
        },
    ),
    "bloom": (
        "BloomConfig",
        "BloomForCausalLM",
        {**TOKENS, "hidden_size": WIDTH, "n_layer": 2, "n_head": 4},
    ),
    "falcon": (
        "FalconConfig",
        "FalconForCausalLM",
        {
            **TOKENS,
            "hidden_size": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        },
    ),
    "funnel": (
        "FunnelConfig",
        "FunnelForSequenceClassification",
        {
            **TOKENS,
            "d_model": WIDTH,
            "block_sizes": [1, 1],
            "n_head": 4,
            "d_head": 8,
            "d_inner": 48,
            "num_decoder_layers": 1,
            **LABELS,
        },
    ),
    "longformer": (
        "LongformerConfig",
        "LongformerForMaskedLM",
        {**ENCODER, "sep_token_id": 2, "attention_window": 4},
    ),
    "xlnet": (
        "XLNetConfig",
        "XLNetForSequenceClassification",
        {**TOKENS, "d_model": WIDTH, "n_layer": 2, "n_head": 4, "d_inner": 48, **LABELS},
    ),
    "codegen": (
        "CodeGenConfig",
        "CodeGenForCausalLM",
        {**TOKENS, "n_positions": 24, "n_embd": WIDTH, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
    ),
}

STATE_SPACES = {
    "mamba": (
        "MambaConfig",
        "MambaForCausalLM",
        {**TOKENS, "hidden_size": WIDTH, "num_hidden_layers": 2, "state_size": 4},
    ),
    "mamba2": (
        "Mamba2Config",
        "Mamba2ForCausalLM",
        {
            **TOKENS,
            "hidden_size": WIDTH,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 8,
            "head_dim": 8,
            "n_groups": 2,
            "chunk_size": 4,
        },
    ),
    "rwkv": (
        "RwkvConfig",
        "RwkvForCausalLM",
        {**TOKENS, "hidden_size": WIDTH, "num_hidden_layers": 2, "attention_hidden_size": WIDTH},
    ),
    "xlstm": (
        "xLSTMConfig",
        "xLSTMForCausalLM",
        {
            **TOKENS,
            "hidden_size": WIDTH,
            "num_hidden_layers": 2,
            "num_blocks": 2,
            "num_heads": 4,
            "chunk_size": 4,
        },
    ),
    "falcon_mamba": (
        "FalconMambaConfig",
        "FalconMambaForCausalLM",
        {**TOKENS, "hidden_size": WIDTH, "num_hidden_layers": 2, "state_size": 4},
    ),
}

REFORMER = {
    **ENCODER,
    "attn_layers": ["local", "local"],
    "local_attn_chunk_length": 3,
    "axial_pos_embds": False,
    "attention_head_size": 8,
    "feed_forward_size": 48,
    "is_decoder": False,
    "hidden_dropout_prob": 0.0,
    "local_attention_probs_dropout_prob": 0.0,
}


def training(model: nn.Module, embeddings: Tensor) -> Any:
    """Training mode without any dropout."""
    return model.train()(inputs_embeds=embeddings)


def _entries() -> tuple[ZooModel, ...]:
    entries = []

    def add(name, family, config, model, options, attention=None, call=without_cache, **settings):
        entries.append(
            hugging_face(
                name,
                family,
                config,
                model,
                options,
                TEXT,
                attention=attention,
                call=call,
                select=field("logits"),
                **settings,
            )
        )

    for name, (prefix, extra) in ENCODERS.items():
        add(
            name,
            "text encoder",
            f"{prefix}Config",
            f"{prefix}ForSequenceClassification",
            {**ENCODER, **extra},
            call=by_embeddings,
            # Nystromformer scales its pseudo-inverse by a maximum over the batch: one example only.
            examples=1 if name == "nystromformer" else 2,
        )
    for name, (prefix, extra) in DECODERS.items():
        add(
            name,
            "text decoder",
            f"{prefix}Config",
            f"{prefix}ForCausalLM",
            {**DECODER, **extra},
            "eager" if name != "qwen3" else "sdpa",
        )
    for name, (config, model, options) in OTHERS.items():
        family = "text decoder" if model.endswith(("LMHeadModel", "CausalLM")) else "text encoder"
        add(name, family, config, model, options, call=by_embeddings)
    for name, (config, model, options) in STATE_SPACES.items():
        add(name, "state space", config, model, options)
    add(
        "reformer",
        "text encoder",
        "ReformerConfig",
        "ReformerForSequenceClassification",
        REFORMER,
        call=training,
        notes="its reversible layers are an autograd.Function, which insists on training mode",
    )
    for name in ("bert", "roberta"):
        for attention in ("eager", "sdpa"):
            prefix = ENCODERS[name][0]
            add(
                f"{name}_{attention}",
                "text encoder",
                f"{prefix}Config",
                f"{prefix}ForMaskedLM",
                ENCODER,
                attention,
                by_embeddings,
            )
    for name in ("llama", "mistral", "gemma"):
        prefix, extra = DECODERS[name]
        add(
            f"{name}_sdpa",
            "text decoder",
            f"{prefix}Config",
            f"{prefix}ForCausalLM",
            {**DECODER, **extra},
            "sdpa",
        )
    return tuple(entries)


ENTRIES = _entries()
