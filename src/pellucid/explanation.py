"""The rich result of an explanation: attributions with everything that is needed to read and check them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pellucid._core.report import Notice
from pellucid._core.rules import Certificate, OperationReport
from pellucid._core.structure import like
from pellucid.errors import invalid_value
from pellucid.typing import Tensors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMAT = 1
"""Version of the file format."""


@dataclass(frozen=True)
class Cost:
    """What an explanation took.

    Attributes:
        rows: examples that went through the model, counted once per forward pass.
        calls: forward passes.
        seconds: wall-clock time.
    """

    rows: int
    calls: int
    seconds: float


@dataclass(frozen=True)
class Explanation:
    """Attributions and what is needed to read and check them.

    Attributes:
        attributions: one value per input value, in the structure of the inputs.
        inputs: the explained inputs.
        baselines: what the prediction was compared with, ``None`` for methods without a baseline.
        target: explained output: an index per example, shape (N,), the target as given, or ``None`` where
            the model has one output per example.
        method: name of the method.
        settings: its arguments, as JSON values.
        outputs: the model's output at the inputs, shape (N, ...).
        delta: completeness error per example, shape (N,), where the method has one.
        standard_error: standard error of each attribution, where the method samples.
        fit: weighted R^2 of each local surrogate, where the method fits one.
        n_steps: integration steps taken, per example where they differ.
        certificate: for rule-based methods, what each operation got and what could not be attributed.
        cost: model evaluations and time.
        warnings: what was warned about, as data.
    """

    attributions: Tensors
    inputs: Tensors
    baselines: Tensors | None
    target: Tensor | int | tuple[int | slice, ...] | None
    method: str
    settings: Mapping[str, Any]
    outputs: Tensor
    delta: Tensor | None = None
    standard_error: Tensors | None = None
    fit: Tensor | None = None
    n_steps: int | Tensor | None = None
    certificate: Certificate | None = None
    cost: Cost = field(default_factory=lambda: Cost(0, 0, 0.0))
    warnings: tuple[Notice, ...] = ()

    def __repr__(self) -> str:
        """Say in one line what was explained, how, and how well."""
        shapes = ", ".join(str(tuple(a.shape)) for a in _tuple(self.attributions))
        check = "" if self.delta is None else f", |delta| <= {float(self.delta.abs().max()):.2g}"
        noted = f", {len(self.warnings)} warning(s)" if self.warnings else ""
        return f"Explanation({self.method}, {shapes}{check}, {self.cost.rows} rows{noted})"

    def save(self, path: str | Path) -> Path:
        """Write everything to one safetensors file, with JSON in its metadata; no code is ever stored.

        Args:
            path: file to write.

        Returns:
            The path.

        Example:
            >>> import pellucid, tempfile, torch
            >>> explanation = pellucid.explain(torch.nn.Linear(3, 2), torch.ones(1, 3), method="saliency")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     again = pellucid.load(explanation.save(f"{folder}/e.safetensors"))
            >>> bool((again.attributions == explanation.attributions).all())
            True
        """
        from safetensors.torch import save_file  # noqa: PLC0415  (only when something is written)

        tensors, structure = _packed(self)
        header = {
            "format": FORMAT,
            "method": self.method,
            "settings": dict(self.settings),
            "cost": asdict(self.cost),
            "warnings": [asdict(w) for w in self.warnings],
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
            **structure,
        }
        save_file(tensors, str(path), metadata={"pellucid": json.dumps(header)})
        return Path(path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Make a report page in one file that needs nothing else: images and tables with maps, checks and settings.

        Args:
            path: where to write it, if anywhere.

        Returns:
            The page.

        Raises:
            InvalidValueError: for data of a shape that has no picture yet.
        """
        from pellucid.report import render_report, subject_of  # noqa: PLC0415  (it draws)

        page = render_report([self], subject_of(self))
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def plot(self, example: int = 0, *, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Draw the attributions of one example: an image as a heat map, a vector as bars.

        Args:
            example: which example.
            ax: axes to draw on; a new figure, not known to pyplot, is made without.

        Returns:
            The figure and axes.

        Raises:
            InvalidValueError: for an example that is not there, or data of a shape that has no picture yet.
        """
        from pellucid.visualization.explanations import plot_explanation  # noqa: PLC0415  (it draws)

        return plot_explanation(self, example, ax)


def load(path: str | Path) -> Explanation:
    """Read an explanation that was saved with ``Explanation.save``.

    Args:
        path: file to read.

    Returns:
        The explanation, with tensors on the CPU.

    Raises:
        InvalidValueError: if the file is not one of these.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415  (only when something is read)

    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})["pellucid"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise _not_ours(path, error) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _not_ours(path, "its format is unknown")
    try:
        return _unpacked(tensors, header)
    except (KeyError, TypeError) as error:
        raise _not_ours(path, error) from error


def _not_ours(path: str | Path, reason: object) -> Exception:
    return invalid_value("path", str(path), f"it holds no explanation ({reason})", "a file written by Explanation.save")


_TENSOR_FIELDS = (
    "attributions",
    "inputs",
    "baselines",
    "standard_error",
    "fit",
    "outputs",
    "delta",
    "target",
    "n_steps",
)


def _packed(explanation: Explanation) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split the fields that may hold tensors into tensors by name and JSON about the rest."""
    tensors: dict[str, Tensor] = {}
    structure: dict[str, Any] = {"tuples": [], "values": {}}
    for name in _TENSOR_FIELDS:
        value = getattr(explanation, name)
        parts = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(part, Tensor) for part in parts):
            structure["values"][name] = value
            continue
        if isinstance(value, tuple):
            structure["tuples"].append(name)
        for i, part in enumerate(parts):
            tensors[f"{name}.{i}"] = part.detach().cpu().contiguous().clone()
    return tensors, structure


def _unpacked(tensors: dict[str, Tensor], header: dict[str, Any]) -> Explanation:
    fields: dict[str, Any] = {}
    for name in _TENSOR_FIELDS:
        if name in header["values"]:
            value = header["values"][name]
            fields[name] = tuple(value) if isinstance(value, list) else value
            continue
        count = sum(key.startswith(f"{name}.") for key in tensors)
        parts = [tensors[f"{name}.{i}"] for i in range(count)]
        fields[name] = like(tuple(parts) if name in header["tuples"] else None, parts)
    return Explanation(
        **fields,
        method=header["method"],
        settings=header["settings"],
        cost=Cost(**header["cost"]),
        warnings=tuple(Notice(**w) for w in header["warnings"]),
        certificate=_certificate(header["certificate"]),
    )


def _certificate(stored: dict[str, Any] | None) -> Certificate | None:
    if stored is None:
        return None
    lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    operations = tuple(OperationReport(**row) for row in stored["operations"])
    return Certificate(**{**stored, **lists, "operations": operations})


def _tuple(value: Tensors) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)
