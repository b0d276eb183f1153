"""DATA as an array: ``.npy`` without objects, or ``.safetensors``; the first dimension counts examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pellucid.cli._content import WHY_NOT_PICKLE, first_bytes, is_pickle
from pellucid.cli._failures import Refusal

LABEL_NAMES = ("labels", "label", "targets", "target", "y")


def load_array(path: Path, label: str | None = None) -> tuple[Tensor, Tensor | None]:
    """Read the inputs (N, ...) as floats, and the labels (N,) if there are some.

    Args:
        path: A ``.npy`` or ``.safetensors`` file.
        label: For ``.safetensors`` the name of the labels' tensor, for ``.npy`` a second such file.

    Raises:
        Refusal: It holds objects, no number, no example, or labels that do not fit.
    """
    labels: Tensor | None = None
    if path.suffix.lower() == ".safetensors":
        inputs, labels = _read_safetensors(path, label)
    else:
        inputs = _read_npy(path)
        if label is not None:
            labels = _read_npy(Path(label))
    if inputs.ndim < 2 or not inputs.numel():
        raise Refusal(
            f"DATA {path} has shape {tuple(inputs.shape)}. The first dimension counts examples: pass (N, ...)."
        )
    if inputs.is_complex():
        raise Refusal(f"DATA {path} holds complex numbers, which cannot be explained. Pass real ones.")
    if labels is not None and (labels.ndim != 1 or len(labels) != len(inputs) or labels.dtype.is_floating_point):
        raise Refusal(
            f"The labels have shape {tuple(labels.shape)} and type {labels.dtype}, but {len(inputs)} whole numbers "
            "are needed, one per example."
        )
    return inputs.float(), labels


def _read_npy(path: Path) -> Tensor:

    if is_pickle(path):
        raise Refusal(f"{path} is refused: it holds a pickle, and {WHY_NOT_PICKLE}. Pass an array of numbers.")
    if first_bytes(path, 6) != b"\x93NUMPY":
        raise Refusal(f"{path} is no .npy file: its content begins otherwise.")
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        if "Object arrays" in str(error):
            raise Refusal(
                f"{path} is refused: it holds Python objects, stored as a pickle, and {WHY_NOT_PICKLE}. "
                "Pass an array of numbers."
            ) from None
        raise Refusal(f"{path} cannot be read as .npy: {error}") from None
    except (OSError, EOFError) as error:
        raise Refusal(f"{path} cannot be read as .npy: {error}") from None
    if array.dtype.kind not in "fiub":
        raise Refusal(f"{path} holds values of type {array.dtype}, which are no real numbers.")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))


def _read_safetensors(path: Path, label: str | None) -> tuple[Tensor, Tensor | None]:

    first_bytes(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be read as safetensors: {error}") from None
    if label is not None and label not in tensors:
        raise Refusal(f"--label is {label!r}, but {path} holds only: {', '.join(tensors) or 'nothing'}.")
    name = label or next((known for known in LABEL_NAMES if known in tensors and tensors[known].ndim == 1), None)
    labels = tensors.pop(name) if name else None
    if "inputs" in tensors:
        return tensors["inputs"], labels
    if len(tensors) != 1:
        raise Refusal(
            f"{path} holds {len(tensors)} tensors ({', '.join(list(tensors)[:8])}). Name the one to explain 'inputs'."
        )
    return next(iter(tensors.values())), labels
