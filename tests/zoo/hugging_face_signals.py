"""Hugging Face models of images, sound and several modalities."""

import torch
from torch import Tensor, nn

from .entry import ZooModel, field
from .hugging_face import ENCODER, LABELS, WIDTH, hugging_face

IMAGE = (3, 16, 16)
LARGER = ("levit", "mobilenet_v1", "mobilenet_v2")
VIT = {
    "image_size": 16,
    "patch_size": 8,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    **LABELS,
}
SPEECH = {
    "vocab_size": 12,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16, 16),
    "conv_stride": (5, 2),
    "conv_kernel": (8, 3),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "pad_token_id": 0,
}
CLIP = {
    "text_config": {k: v for k, v in ENCODER.items() if k != "num_labels"},
    "vision_config": {k: v for k, v in VIT.items() if k != "num_labels"},
    "projection_dim": 16,
}
WRONG_ALONE = """PyTorch 2.13 on a CPU gives a wrong input gradient for one example alone: its evaluation
batch norm misreads an incoming gradient of strides (16, 1, 32, 16); two or more examples are right."""
IMAGES: dict[str, tuple[str, str, dict]] = {
    "vit": ("ViT", "ForImageClassification", VIT),
    "deit": ("DeiT", "ForImageClassification", VIT),
    "dinov2": ("Dinov2", "ForImageClassification", VIT),
    "beit": ("Beit", "ForImageClassification", {**VIT, "use_relative_position_bias": True}),
    "vit_msn": ("ViTMSN", "ForImageClassification", VIT),
    "swin": (
        "Swin",
        "ForImageClassification",
        {
            "image_size": 16,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [2, 2],
            "num_heads": [2, 4],
            "window_size": 4,
            **LABELS,
        },
    ),
    "swinv2": (
        "Swinv2",
        "ForImageClassification",
        {
            "image_size": 16,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [2, 2],
            "num_heads": [2, 4],
            "window_size": 4,
            **LABELS,
        },
    ),
    "convnext": (
        "ConvNext",
        "ForImageClassification",
        {"patch_size": 2, "hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, **LABELS},
    ),
    "convnextv2": (
        "ConvNextV2",
        "ForImageClassification",
        {"patch_size": 2, "hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, **LABELS},
    ),
    "resnet": (
        "ResNet",
        "ForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", **LABELS},
    ),
    "regnet": (
        "RegNet",
        "ForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "groups_width": 8, **LABELS},
    ),
    "mobilenet_v1": ("MobileNetV1", "ForImageClassification", {"depth_multiplier": 0.25, **LABELS}),
    "mobilenet_v2": ("MobileNetV2", "ForImageClassification", {"depth_multiplier": 0.25, **LABELS}),
    "segformer": (
        "Segformer",
        "ForSemanticSegmentation",
        {
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "sr_ratios": [2, 1],
            "hidden_sizes": [8, 16],
            "patch_sizes": [3, 3],
            "strides": [2, 2],
            "num_attention_heads": [1, 2],
            "mlp_ratios": [2, 2],
            "decoder_hidden_size": 16,
            **LABELS,
        },
    ),
    "poolformer": (
        "PoolFormer",
        "ForImageClassification",
        {
            "depths": [1, 1],
            "hidden_sizes": [8, 12],
            "patch_sizes": [3, 3],
            "strides": [2, 2],
            "padding": [1, 1],
            "num_encoder_blocks": 2,
            "mlp_ratio": 2.0,
            **LABELS,
        },
    ),
    "levit": (
        "Levit",
        "ForImageClassification",
        {
            "image_size": 32,
            "hidden_sizes": [16, 16, 16],
            "num_attention_heads": [2, 2, 2],
            "depths": [1, 1, 1],
            "key_dim": [4, 4, 4],
            **LABELS,
        },
    ),
}


IMAGES |= {
    "focalnet": (
        "FocalNet",
        "ForImageClassification",
        {
            "image_size": 16,
            "patch_size": 4,
            "embed_dim": 8,
            "hidden_sizes": [8, 16],
            "depths": [1, 1],
            "focal_levels": [1, 1],
            "focal_windows": [3, 3],
            **LABELS,
        },
    ),
    "pvt": (
        "Pvt",
        "ForImageClassification",
        {
            "image_size": 16,
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "sequence_reduction_ratios": [2, 1],
            "hidden_sizes": [8, 16],
            "patch_sizes": [4, 2],
            "strides": [4, 2],
            "num_attention_heads": [1, 2],
            "mlp_ratios": [2, 2],
            **LABELS,
        },
    ),
    "bit": (
        "Bit",
        "ForImageClassification",
        {"embedding_size": 8, "hidden_sizes": [32, 32], "depths": [1, 1], "num_groups": 4, **LABELS},
    ),
    "hiera": (
        "Hiera",
        "ForImageClassification",
        {
            "image_size": [16, 16],
            "patch_size": [3, 3],
            "patch_stride": [2, 2],
            "patch_padding": [1, 1],
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [1, 2],
            "num_query_pool": 1,
            "query_stride": [2, 2],
            "masked_unit_size": [4, 4],
            "masked_unit_attention": [True, False],
            **LABELS,
        },
    ),
    "dinov2_registers": ("Dinov2WithRegisters", "ForImageClassification", VIT),
}


def pair_similarity(model: nn.Module, pixels: Tensor) -> Tensor:
    """Similarity of an image to two fixed captions."""
    ids = torch.tensor([[1, 7, 9, 2], [1, 30, 4, 2]])
    return model(input_ids=ids, pixel_values=pixels).logits_per_image


def transcribe(model: nn.Module, sound: Tensor) -> Tensor:
    prefix = torch.tensor([[1, 5, 9]]).expand(sound.shape[0], -1)
    return model(input_features=sound, decoder_input_ids=prefix, use_cache=False).logits


def perceive(model: nn.Module, tokens: Tensor) -> Tensor:
    return model(inputs=tokens).last_hidden_state


def _entries() -> tuple[ZooModel, ...]:
    logits = {"select": field("logits")}
    entries = [
        hugging_face(
            name,
            "vision",
            f"{prefix}Config",
            prefix + suffix,
            options,
            (3, 32, 32) if name in LARGER else IMAGE,
            notes=WRONG_ALONE if name == "levit" else "",
            **logits,
        )
        for name, (prefix, suffix, options) in IMAGES.items()
    ]
    entries += [
        hugging_face(
            "vit_sdpa",
            "vision",
            "ViTConfig",
            "ViTForImageClassification",
            VIT,
            IMAGE,
            attention="sdpa",
            **logits,
        ),
        hugging_face(
            "vit_eager",
            "vision",
            "ViTConfig",
            "ViTForImageClassification",
            VIT,
            IMAGE,
            attention="eager",
            **logits,
        ),
        hugging_face("clip", "image and text", "CLIPConfig", "CLIPModel", CLIP, IMAGE, call=pair_similarity),
        hugging_face("siglip", "image and text", "SiglipConfig", "SiglipModel", CLIP, IMAGE, call=pair_similarity),
        hugging_face("wav2vec2", "audio", "Wav2Vec2Config", "Wav2Vec2ForCTC", SPEECH, (160,), **logits),
        hugging_face("hubert", "audio", "HubertConfig", "HubertForCTC", SPEECH, (160,), **logits),
        hugging_face(
            "wav2vec2_conformer",
            "audio",
            "Wav2Vec2ConformerConfig",
            "Wav2Vec2ConformerForCTC",
            {**SPEECH, "conv_depthwise_kernel_size": 3},
            (160,),
            **logits,
        ),
        hugging_face(
            "sew",
            "audio",
            "SEWConfig",
            "SEWForCTC",
            {**SPEECH, "squeeze_factor": 2},
            (160,),
            **logits,
        ),
        hugging_face("data2vec_audio", "audio", "Data2VecAudioConfig", "Data2VecAudioForCTC", SPEECH, (160,), **logits),
        hugging_face("wavlm", "audio", "WavLMConfig", "WavLMForCTC", SPEECH, (160,), **logits),
        hugging_face(
            "whisper",
            "audio",
            "WhisperConfig",
            "WhisperForConditionalGeneration",
            {
                "vocab_size": 40,
                "num_mel_bins": 8,
                "d_model": WIDTH,
                "encoder_layers": 2,
                "decoder_layers": 2,
                "encoder_attention_heads": 4,
                "decoder_attention_heads": 4,
                "encoder_ffn_dim": 48,
                "decoder_ffn_dim": 48,
                "max_source_positions": 8,
                "max_target_positions": 8,
                "pad_token_id": 0,
                "bos_token_id": 1,
                "eos_token_id": 2,
                "decoder_start_token_id": 1,
                "suppress_tokens": None,
                "begin_suppress_tokens": None,
            },
            (8, 16),
            call=transcribe,
        ),
        hugging_face(
            "audio_spectrogram_transformer",
            "audio",
            "ASTConfig",
            "ASTForAudioClassification",
            {
                **{k: v for k, v in VIT.items() if k != "image_size"},
                "max_length": 16,
                "num_mel_bins": 16,
                "time_stride": 8,
                "frequency_stride": 8,
            },
            (16, 16),
            **logits,
        ),
        hugging_face(
            "perceiver",
            "image and text",
            "PerceiverConfig",
            "PerceiverModel",
            {
                "num_latents": 4,
                "d_latents": 16,
                "d_model": 12,
                "num_blocks": 1,
                "num_self_attends_per_block": 2,
                "num_self_attention_heads": 2,
                "num_cross_attention_heads": 2,
            },
            (6, 12),
            call=perceive,
        ),
        hugging_face(
            "videomae",
            "vision",
            "VideoMAEConfig",
            "VideoMAEForVideoClassification",
            {**VIT, "num_frames": 2, "tubelet_size": 2},
            (2, 3, 16, 16),
            **logits,
        ),
    ]
    return tuple(entries)


ENTRIES = _entries()
