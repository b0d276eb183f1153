"""MODEL: a factory ``package.module:name``, an exported program, or a local Hugging Face folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from pellucid.cli._content import WHY_NOT_PICKLE, first_bytes, is_pickle
from pellucid.cli._failures import ModelFailure, Refusal, users_code
from pellucid.cli._images import ImageSettings

FORMS = "package.module:factory, an exported program (.pt2), or a local Hugging Face folder"


@dataclass(frozen=True)
class ById:
    """A text model that takes ids, padded at the end.

    Attributes:
        module: From ids (N, T) to outputs.
        tokenizer: Its tokenizer.
        limit: How many tokens it reads at most.
    """

    module: nn.Module
    tokenizer: Any
    limit: int


@dataclass
class LoadedModel:
    """A model that is ready to be explained, with what it says about its inputs and outputs.

    Attributes:
        module: The model, in evaluation mode; for texts it takes embeddings and an attention mask.
        source: Where it came from, in words.
        takes: ``"text"`` for language models, ``"any"`` otherwise.
        class_names: Names of its classes, if it brings them.
        images: How its images are prepared, if it says so.
        shape: The shape of one example, if it says so; None where a dimension is free.
        tokenize: For texts: from a text to its tokens, embeddings and baseline.
        by_id: For texts: the same model as one of ids.
        notes: What the user should know about loading.
    """

    module: nn.Module
    source: str
    takes: Literal["any", "text"] = "any"
    class_names: tuple[str, ...] | None = None
    images: ImageSettings | None = None
    shape: tuple[int | None, ...] | None = None
    tokenize: Callable[[str], Any] | None = None
    by_id: ById | None = None
    notes: list[str] = field(default_factory=list)


def load_model(spec: str, *, trust: bool = False) -> LoadedModel:
    """Load MODEL; files that could run code are refused unless they are trusted.

    Args:
        spec: What stands on the command line.
        trust: Whether the user vouches for the file.

    Returns:
        The model in evaluation mode.

    Raises:
        Refusal: There is no such model, or it could run code.
        ModelFailure: The user's own module raised.
    """
    path = Path(spec)
    if path.is_dir():
        from pellucid.cli._huggingface import load_folder  # noqa: PLC0415  (in a circle)

        model = load_folder(path)
    elif path.suffix == ".pt2":
        from pellucid.cli._exported import load_exported  # noqa: PLC0415  (in a circle)

        model = load_exported(path, trust=trust)
    elif path.is_file():
        model = _load_file(path, trust=trust)
    elif ":" in spec and "/" not in spec:
        model = _load_factory(spec)
    elif "/" in spec or path.suffix:
        raise Refusal(f"MODEL {spec} does not exist. Pass {FORMS}.")
    else:
        raise Refusal(f"MODEL is {spec!r}, which names no model. Pass {FORMS}.")
    if any(part.training for part in model.module.modules()):
        model.module.eval()
        model.notes.append("The model came in training mode and was put into evaluation mode.")
    return model


def _load_factory(spec: str) -> LoadedModel:
    name, _, attribute = spec.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), *attribute.split("."))):
        raise Refusal(f"MODEL is {spec!r}, which is no name of the form package.module:factory.")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise Refusal(
                f"MODEL is {spec!r}, but there is no module {error.name!r} here or installed. "
                "Start in the folder that holds it, or check the name."
            ) from None
        raise ModelFailure(f"importing {name}", error) from error
    except Exception as error:
        raise ModelFailure(f"importing {name}", error) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = ", ".join(n for n in vars(found) if not n.startswith("_") and callable(getattr(found, n)))
            raise Refusal(
                f"MODEL is {spec!r}, but {name} has no {attribute!r}. It has: {known[:200] or 'nothing to call'}."
            )
        found = getattr(found, part)
    return LoadedModel(_built(found, spec), spec)


def _built(found: Any, spec: str) -> nn.Module:
    """Return the module that a factory makes, or the module itself."""
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise Refusal(
            f"MODEL {spec!r} is a {type(found).__name__}. Pass a torch.nn.Module or a function that makes one."
        )
    with users_code(spec):
        made = found()
    if not isinstance(made, nn.Module):
        raise Refusal(
            f"MODEL {spec!r} returned a {type(made).__name__}. Pass a function that returns a torch.nn.Module."
        )
    return made


def _load_file(path: Path, *, trust: bool) -> LoadedModel:
    """Load a pickled module if it is trusted; refuse every other file with what to do instead."""
    first_bytes(path)
    if path.suffix == ".safetensors":
        raise Refusal(
            f"MODEL {path} holds weights without a model. Pass a factory that builds the model and loads them."
        )
    if not is_pickle(path):
        raise Refusal(f"MODEL {path} is no model. Pass {FORMS}.")
    if not trust:
        raise Refusal(
            f"MODEL {path} is refused: {WHY_NOT_PICKLE}. Save the weights as safetensors and pass a factory, export "
            "the model as .pt2, or say --trust if you know where the file comes from."
        )

    with users_code(f"loading {path}"):
        found = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(found, nn.Module):
        raise Refusal(
            f"MODEL {path} holds a {type(found).__name__}, no module. Pass a factory that loads these weights."
        )
    return LoadedModel(found, str(path), notes=["The model was loaded with --trust: its file could run any code."])
