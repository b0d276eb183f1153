"""A local Hugging Face folder as a model: its configuration and safetensors weights, and no code of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.cli._content import WHY_NOT_PICKLE
from pellucid.cli._failures import Refusal
from pellucid.cli._images import ImageSettings
from pellucid.cli._models import ById, LoadedModel

SUPPORTED = ("ForImageClassification", "ForSequenceClassification")


class ImageClassifier(nn.Module):
    """A Hugging Face image classifier that returns its logits and nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return logits (N, C) of images (N, 3, H, W)."""
        logits: Tensor = self.model(pixel_values=pixel_values).logits
        return logits


class TextClassifier(nn.Module):
    """A Hugging Face text classifier that starts at the embeddings of its tokens."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, embeddings: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits (N, C) of embeddings (N, T, D) under a mask (N, T)."""
        logits: Tensor = self.model(inputs_embeds=embeddings, attention_mask=attention_mask).logits
        return logits


class IdClassifier(nn.Module):
    """A Hugging Face text classifier that takes ids, with padding at the end, and nothing else."""

    def __init__(self, model: nn.Module, padding: int | None) -> None:
        super().__init__()
        self.model = model
        self.padding = padding

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (N, C) of ids (N, T)."""
        mask = torch.ones_like(ids) if self.padding is None else (ids != self.padding).long()
        logits: Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        return logits


@dataclass(frozen=True)
class TokenizedText:
    """One text as its model sees it.

    Attributes:
        tokens: The tokens in words.
        embeddings: Their input embeddings, (1, T, D).
        mask: The attention mask, (1, T).
        baseline: The same with padding in place of every token that is not special, (1, T, D).
        cut: Whether the text was longer than the model can read, and its end was left out.
    """

    tokens: tuple[str, ...]
    embeddings: Tensor
    mask: Tensor
    baseline: Tensor
    cut: bool


def load_folder(path: Path) -> LoadedModel:
    """Load a classifier of images or texts from a folder with ``config.json`` and safetensors.

    Raises:
        Refusal: The folder holds no such model, only pickled weights, or a part of the weights.
    """
    config = _read_json(path / "config.json", f"MODEL {path} is a folder without a readable config.json")
    architecture = str((config.get("architectures") or ["unnamed"])[0])
    if not architecture.endswith(SUPPORTED):
        raise Refusal(f"MODEL {path} is a {architecture}. Pass a folder with one of: {', '.join(SUPPORTED)}.")
    if (path / "adapter_config.json").exists():
        raise Refusal(f"MODEL {path} is an adapter to another model. Pass a folder with the merged model.")
    if not any(path.glob("*.safetensors")):
        pickled = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in path.glob(pattern))
        why = (
            f"its weights are pickles ({', '.join(pickled)}), and {WHY_NOT_PICKLE}" if pickled else "it has no weights"
        )
        raise Refusal(f"MODEL {path} is refused: {why}. Save the model with save_pretrained(safe_serialization=True).")
    try:
        import transformers  # noqa: PLC0415  (an extra)
    except ImportError:
        raise Refusal(
            "Hugging Face folders need transformers. Install it with: pip install 'pellucid[text]'."
        ) from None
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no types
    is_text = architecture.endswith("ForSequenceClassification")
    kind = transformers.AutoModelForSequenceClassification if is_text else transformers.AutoModelForImageClassification
    model = _from_pretrained(kind, path)
    labels = {int(index): str(name) for index, name in (getattr(model.config, "id2label", None) or {}).items()}
    names = tuple(labels.get(index, f"class {index}") for index in range(len(labels))) if labels else None
    if is_text:
        tokenizer = _tokenizer(transformers.AutoTokenizer, path)
        return LoadedModel(
            TextClassifier(model).eval(),
            str(path),
            takes="text",
            class_names=names,
            tokenize=lambda text: _tokenize(model, tokenizer, text),
            by_id=ById(IdClassifier(model, tokenizer.pad_token_id).eval(), tokenizer, _limit(model, tokenizer)),
        )
    return LoadedModel(
        ImageClassifier(model).eval(),
        str(path),
        class_names=names,
        images=_image_settings(path / "preprocessor_config.json"),
    )


def _from_pretrained(kind: Any, path: Path) -> nn.Module:
    try:
        model, found = kind.from_pretrained(
            path,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",  # a configuration may name a kernel that is fetched and run
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:
        said = str(error).partition("\n")[0][:240]
        raise Refusal(f"MODEL {path} cannot be loaded: {type(error).__name__}: {said}") from error
    missing = sorted(found.get("missing_keys") or ())
    if missing:
        raise Refusal(f"MODEL {path} lacks weights ({', '.join(missing[:3])}, ...): its predictions would be random.")
    return model  # type: ignore[no-any-return]  # transformers has no stubs


def _tokenizer(kind: Any, path: Path) -> Any:
    if not any((path / name).exists() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
        raise Refusal(f"MODEL {path} has no tokenizer.json. Save the tokenizer into the folder with save_pretrained.")
    try:
        return kind.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        said = str(error).partition("\n")[0][:240]
        raise Refusal(f"The tokenizer in {path} cannot be loaded: {type(error).__name__}: {said}") from error


def _limit(model: nn.Module, tokenizer: Any) -> int:
    """Return how many tokens a model reads at most."""
    return min(int(getattr(model.config, "max_position_embeddings", None) or 512), int(tokenizer.model_max_length))


def _tokenize(model: nn.Module, tokenizer: Any, text: str) -> TokenizedText:
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=_limit(model, tokenizer))
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    whole = len(tokenizer(text, truncation=False, verbose=False)["input_ids"])
    embed: Any = model.get_input_embeddings()  # type: ignore[operator]  # every pretrained model has it
    with torch.no_grad():
        embeddings = embed(ids)
        plain = model(input_ids=ids, attention_mask=mask).logits
        through = model(inputs_embeds=embeddings, attention_mask=mask).logits
        if not torch.allclose(plain, through, rtol=1e-3, atol=1e-4):
            raise Refusal(
                "This model computes something else from embeddings than from tokens, so it cannot be explained so."
            )
        baseline = embed(_baseline_ids(tokenizer, ids))
    tokens = tuple(tokenizer.convert_ids_to_tokens(ids[0].tolist()))
    return TokenizedText(tokens, embeddings, mask, baseline, cut=whole > len(tokens))


def _baseline_ids(tokenizer: Any, ids: Tensor) -> Tensor:
    """Return padding in place of every token, but keep special tokens such as [CLS]."""
    blank = next(
        (
            number
            for number in (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id)
            if number is not None
        ),
        0,
    )
    special = torch.tensor([[number in set(tokenizer.all_special_ids) for number in ids[0].tolist()]])
    return torch.where(special, ids, torch.full_like(ids, blank))


def _image_settings(path: Path) -> ImageSettings | None:
    """Read how images are prepared from ``preprocessor_config.json``."""
    if not path.exists():
        return None
    config = _read_json(path, f"{path} cannot be read")
    size = config.get("size") if config.get("do_resize", True) else None
    crop = config.get("crop_size") if config.get("do_center_crop") else None
    normal = config.get("do_normalize", True)
    shortest = size.get("shortest_edge") if isinstance(size, dict) else None
    return ImageSettings(
        size=_pair(crop) or _pair(size) or ((shortest, shortest) if shortest else None),
        shortest=shortest,
        mean=tuple(config["image_mean"]) if normal and config.get("image_mean") else None,
        std=tuple(config["image_std"]) if normal and config.get("image_std") else None,
        resample=int(config.get("resample", 2)),
    )


def _pair(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and "height" in size and "width" in size:
        return int(size["height"]), int(size["width"])
    return None


def _read_json(path: Path, otherwise: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(f"{otherwise}.")
    return found
