"""Hugging Face encoder-decoders and time series models."""

import torch
from torch import Tensor, nn

from .entry import ZooModel, field
from .hugging_face import TEXT, WIDTH, by_embeddings, hugging_face

BART = {
    "vocab_size": 40,
    "d_model": WIDTH,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
T5 = {
    "vocab_size": 40,
    "d_model": WIDTH,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
FORECAST = {
    "prediction_length": 3,
    "context_length": 8,
    "lags_sequence": [1, 2],
    "num_time_features": 1,
    "d_model": WIDTH,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
}
PAST = FORECAST["context_length"] + max(FORECAST["lags_sequence"])


def fixed_prefix(model: nn.Module, embeddings: Tensor) -> object:
    """The decoder reads a fixed prefix; the encoder's embeddings are attributed."""
    prefix = torch.tensor([[1, 5, 9]]).expand(embeddings.shape[0], -1)
    return model(inputs_embeds=embeddings, decoder_input_ids=prefix, use_cache=False)


def both_sides(model: nn.Module, source: Tensor, target: Tensor) -> object:
    return model(inputs_embeds=source, decoder_inputs_embeds=target, use_cache=False)


def forecast(model: nn.Module, values: Tensor) -> Tensor:
    """The predicted distribution's parameters for a window of past values."""
    batch, past = values.shape
    ahead = model.config.prediction_length
    clock = torch.linspace(-1, 1, past + ahead, dtype=values.dtype)[None, :, None].expand(batch, -1, -1)
    output = model(
        past_values=values,
        past_time_features=clock[:, :past],
        past_observed_mask=torch.ones_like(values),
        future_values=torch.linspace(0, 1, ahead, dtype=values.dtype).expand(batch, -1),
        future_time_features=clock[:, past:],
        use_cache=False,
    )
    return torch.cat([parameter.flatten(1) for parameter in output.params], 1)


def _entries() -> tuple[ZooModel, ...]:
    family = "text encoder-decoder"
    logits = {"select": field("logits")}
    bart_like = {
        "bart": ("Bart", {}),
        "marian": ("Marian", {}),
        "pegasus": ("Pegasus", {}),
        "mbart": ("MBart", {}),
        "blenderbot": ("Blenderbot", {}),
        "m2m_100": ("M2M100", {}),
        "bigbird_pegasus": ("BigBirdPegasus", {"attention_type": "original_full"}),
    }
    entries = [
        hugging_face(
            name,
            family,
            f"{prefix}Config",
            f"{prefix}ForConditionalGeneration" if name != "marian" else "MarianMTModel",
            {**BART, **extra},
            TEXT,
            attention="eager",
            call=fixed_prefix,
            **logits,
        )
        for name, (prefix, extra) in bart_like.items()
    ]
    for name, prefix, extra in (
        ("t5", "T5", {}),
        ("mt5_gated", "MT5", {"feed_forward_proj": "gated-gelu"}),
        ("longt5", "LongT5", {"local_radius": 3}),
        ("umt5", "UMT5", {}),
    ):
        entries.append(
            hugging_face(
                name,
                family,
                f"{prefix}Config",
                f"{prefix}ForConditionalGeneration",
                {**T5, **extra},
                TEXT,
                call=fixed_prefix,
                **logits,
            )
        )
    entries += [
        hugging_face(
            "bart_sdpa_both_sides",
            family,
            "BartConfig",
            "BartForConditionalGeneration",
            BART,
            TEXT,
            (4, WIDTH),
            attention="sdpa",
            call=both_sides,
            **logits,
        ),
        hugging_face(
            "t5_encoder",
            "text encoder",
            "T5Config",
            "T5EncoderModel",
            T5,
            TEXT,
            call=by_embeddings,
            select=field("last_hidden_state"),
        ),
        hugging_face(
            "time_series_transformer",
            "time series",
            "TimeSeriesTransformerConfig",
            "TimeSeriesTransformerForPrediction",
            FORECAST,
            (PAST,),
            call=forecast,
        ),
        hugging_face(
            "informer",
            "time series",
            "InformerConfig",
            "InformerForPrediction",
            {**FORECAST, "attention_type": "full"},
            (PAST,),
            call=forecast,
        ),
        hugging_face(
            "patchtst",
            "time series",
            "PatchTSTConfig",
            "PatchTSTForPrediction",
            {
                "num_input_channels": 2,
                "context_length": 12,
                "patch_length": 4,
                "patch_stride": 4,
                "prediction_length": 3,
                "d_model": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "ffn_dim": 24,
                "norm_type": "layernorm",
            },
            (12, 2),
            select=field("prediction_outputs"),
        ),
        hugging_face(
            "patchtsmixer",
            "time series",
            "PatchTSMixerConfig",
            "PatchTSMixerForPrediction",
            {
                "num_input_channels": 2,
                "context_length": 12,
                "patch_length": 4,
                "patch_stride": 4,
                "prediction_length": 3,
                "d_model": 8,
                "num_layers": 2,
            },
            (12, 2),
            select=field("prediction_outputs"),
        ),
    ]
    return tuple(entries)


ENTRIES = _entries()
