"""An exported program as a model: one tensor in, any number of rows, never in training mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.cli._content import first_bytes
from pellucid.cli._failures import Refusal
from pellucid.cli._models import LoadedModel
from pellucid.cli._pt2 import UnsafeProgramError, load_program

UNBOUNDED = 2**31 - 1


class ExportedModel(nn.Module):
    """Runs a program that was exported for a fixed or bounded number of rows on any number of rows.

    Rows are cut into chunks of at most ``most``, and a chunk below ``least`` is filled with its last row.

    Args:
        program: The module of an exported program.
        least: The fewest rows that it takes.
        most: The most rows that it takes.
    """

    def __init__(self, program: nn.Module, least: int, most: int) -> None:
        super().__init__()
        self.program = program
        self.least = least
        self.most = most
        for part in self.modules():
            part.training = False  # an exported graph has no modes, and its own eval() raises

    def train(self, mode: bool = True) -> ExportedModel:
        """Do nothing: the mode was fixed when the program was exported.

        Args:
            mode: Ignored.

        Returns:
            The model.
        """
        del mode
        return self

    def forward(self, inputs: Tensor) -> Any:
        """Evaluate the program on all rows."""
        if self.least <= len(inputs) <= self.most:
            return self.program(inputs)
        return torch.cat([self._chunk(chunk) for chunk in torch.split(inputs, self.most)])

    def _chunk(self, rows: Tensor) -> Tensor:
        missing = max(0, self.least - len(rows))
        filled = torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows
        outputs = self.program(filled)
        if not isinstance(outputs, Tensor):
            raise TypeError("the exported program returns no single tensor; export it with a dynamic number of rows")
        return outputs[: len(rows)]


def load_exported(path: Path, *, trust: bool = False) -> LoadedModel:
    """Load a ``.pt2`` after a look at everything in it.

    Raises:
        Refusal: It is missing, no exported program, unsafe, or takes other than one tensor.
    """
    if first_bytes(path)[:2] != b"PK":
        raise Refusal(f"MODEL {path} is no exported program: torch.export.save writes a zip archive, and this is none.")
    try:
        program = load_program(path, trust=trust)
    except UnsafeProgramError as error:
        raise Refusal(
            f"MODEL {path} is refused: {error}, and loading it could run code. Export the model again with "
            "torch.export.save, or say --trust if you know where the file comes from."
        ) from error
    except Exception as error:
        said = str(error).partition("\n")[0][:200]
        raise Refusal(
            f"MODEL {path} cannot be loaded as an exported program: {type(error).__name__}: {said}"
        ) from error
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(nodes) != 1 or not isinstance(nodes[0].meta.get("val"), Tensor):
        raise Refusal(f"MODEL {path} takes {len(names)} inputs. The command line explains models of one tensor.")
    sizes = nodes[0].meta["val"].shape
    least, most = _rows(sizes[0], program.range_constraints)
    module = ExportedModel(program.module(check_guards=trust), least, most)
    shape = tuple(size if isinstance(size, int) else None for size in sizes[1:])
    notes = []
    if least == most:
        notes.append(f"The program was exported for exactly {least} rows at a time; others are cut and filled to that.")
    if trust:
        notes.append("The model was loaded with --trust: its file could run any code.")
    return LoadedModel(module, str(path), shape=shape, notes=notes)


def _rows(size: Any, ranges: Any) -> tuple[int, int]:
    """Return the fewest and the most rows that a program takes."""
    if isinstance(size, int):
        return size, size
    known = ranges.get(size.node.expr)
    least = int(known.lower) if known is not None else 1
    try:
        most = int(known.upper)
    except (AttributeError, TypeError, ValueError, OverflowError):
        most = UNBOUNDED
    return max(1, least), max(least, most, 1)
