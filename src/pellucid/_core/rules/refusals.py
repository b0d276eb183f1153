"""Why a model is refused: each message names the operation, the user's line and the remedy."""

from __future__ import annotations

from typing import Any

from pellucid._core.rules.lines import user_line
from pellucid._core.rules.operation import Operation
from pellucid.errors import UnsupportedModelError

_SCRIPTED = (
    "Pass the eager model instead of the scripted or traced one (a scripted recurrent layer has an eager or "
    "built-in form, such as torch.nn.LSTM)"
)
_CHECKPOINT = (
    "Switch checkpointing off for the attribution (model.gradient_checkpointing_disable() in Hugging Face "
    "models), or checkpoint with use_reentrant=False"
)
_UNSEEN = (
    "Such operations come from TorchScript, torch.func transforms (vmap, grad, jvp), C++ extensions, other "
    "threads, and graphs that were built before. " + _SCRIPTED + ", and plain torch calls instead of transforms"
)


def transformed(operation: str) -> UnsupportedModelError:
    """Build the error for a call inside a ``torch.func`` transform."""
    return UnsupportedModelError(
        f"'{operation}' at {user_line()} runs inside a torch.func transform (grad, vjp, jvp or vmap of "
        "them), where rules cannot be applied. Write the derivative as plain torch calls, or use integrated "
        "gradients."
    )


def unseen(node: Any, function: type | None, operation: str) -> UnsupportedModelError:
    """Build the error for a value that was computed out of the engine's sight."""
    name = node.name()
    if "CheckpointFunction" in name:
        what, remedy = "a reentrant checkpoint", _CHECKPOINT
    elif function is not None:
        what = f"the autograd function {function.__name__}"
        remedy = (
            f"Give a rule for it, functions={{{function.__name__}: rule}}, or declare its own backward to "
            f"be right, functions={{{function.__name__}: None}}"
        )
    elif "jit" in name.lower() or "DifferentiableGraph" in name:
        what, remedy = f"TorchScript ({name})", _SCRIPTED
    else:
        what, remedy = name, _UNSEEN
    return UnsupportedModelError(
        f"'{operation}' at {user_line()} uses a value that was computed by {what}, which no torch call "
        f"seen from Python made, so its rule would silently be its plain gradient. {remedy}."
    )


def refused(operation: Operation) -> UnsupportedModelError:
    """Build the error for an operation that has no meaning under rules."""
    line = user_line()
    if operation.name in {"grad", "backward"}:
        return UnsupportedModelError(
            f"The model takes gradients inside its forward pass ('{operation.name}' at {line}), and the "
            "gradient of a gradient is not defined under rules. Explain the part of the model before or "
            "after it, or use integrated gradients."
        )
    return UnsupportedModelError(
        f"'{operation.name}' at {line} writes into a tensor behind autograd's back, or has no form "
        "that only returns its result. Use an ordinary in-place operation such as copy_ instead."
    )
