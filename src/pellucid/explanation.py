"""The rich result of an explanation: attributions with everything that is needed to read and check them."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pellucid._core.checks import accept_path, accept_texts, listed
from pellucid._core.report import Notice
from pellucid._core.rules import Certificate, OperationReport
from pellucid._core.structure import like
from pellucid.errors import InvalidValueError, invalid_type, invalid_value
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
        bypass: what of the difference of outputs bypasses the layer, shape (N,), of layer methods with a baseline.
        layer: name of the explained layer, or of the neuron's; the attributions of a layer are shaped as its values.
        neuron: the explained neuron, as it was selected.
        standard_error: standard error of each attribution, where the method samples.
        fit: weighted R^2 of each local surrogate, where the method fits one.
        n_steps: integration steps taken, per example where they differ.
        certificate: for rule-based methods, what each operation got and what could not be attributed.
        cost: model evaluations and time.
        warnings: what was warned about, as data.
        names: names of a table's columns or a series' channels, for pictures.
        tokens: tokens of each text, for pictures; positions after them are padding.
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
    bypass: Tensor | None = None
    layer: str | None = None
    neuron: str | None = None
    names: tuple[str, ...] | None = None
    tokens: tuple[tuple[str, ...], ...] | None = None

    def __repr__(self) -> str:
        """Say in one line what was explained, how, and how well."""
        shapes = ", ".join(str(tuple(a.shape)) for a in _tuple(self.attributions))
        check = "" if self.delta is None else f", |delta| <= {float(self.delta.abs().max()):.2g}"
        noted = f", {len(self.warnings)} warning(s)" if self.warnings else ""
        return f"Explanation({self.method}, {shapes}{check}, {self.cost.rows} rows{noted})"

    def labelled(
        self, *, names: Sequence[str] | None = None, tokens: Sequence[Sequence[str]] | None = None
    ) -> Explanation:
        """Give the same explanation with names for its columns or tokens for its texts, which pictures show.

        Example:
            >>> import pellucid, torch
            >>> explanation = pellucid.explain(torch.nn.Linear(2, 1), torch.ones(1, 2), target=0)
            >>> explanation.labelled(names=["age", "dose"]).names
            ('age', 'dose')

        Args:
            names: one name per column, in the order of the inputs, or per channel of a series; ``None`` keeps them.
            tokens: the tokens of each of the N texts; ``None`` keeps them.

        Returns:
            A new explanation that shares its tensors with this one.

        Raises:
            InvalidValueError: if there is not one name per column, or not one list of tokens per example.
            InvalidTypeError: if a text is given where a list of texts is wanted.
        """
        named = self.names if names is None else accept_names(names, _tuple(self.inputs))
        told = self.tokens if tokens is None else accept_tokens(tokens, _tuple(self.inputs))
        return replace(self, names=named, tokens=told)

    def save(self, path: str | Path) -> Path:
        """Write everything to one safetensors file, with JSON in its metadata; no code is ever stored.

        Args:
            path: file to write.

        Returns:
            The path.

        Raises:
            InvalidTypeError: for what names no file.
            InvalidValueError: for a file that cannot be written.

        Example:
            >>> import pellucid, tempfile, torch
            >>> explanation = pellucid.explain(torch.nn.Linear(3, 2), torch.ones(1, 3), method="saliency")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     again = pellucid.load(explanation.save(f"{folder}/e.safetensors"))
            >>> bool((again.attributions == explanation.attributions).all())
            True
        """
        from safetensors import SafetensorError  # noqa: PLC0415  (only when something is written)
        from safetensors.torch import save_file  # noqa: PLC0415

        target = accept_path("path", path)
        tensors, structure = _packed(self)
        header = {
            "format": FORMAT,
            "method": self.method,
            "settings": dict(self.settings),
            "cost": asdict(self.cost),
            "warnings": [asdict(w) for w in self.warnings],
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
            "layer": self.layer,
            "neuron": self.neuron,
            "names": self.names,
            "tokens": self.tokens,
            **structure,
        }
        try:
            save_file(tensors, str(target), metadata={"pellucid": json.dumps(header)})
        except SafetensorError as error:
            instead = "a file in a folder that there is"
            raise invalid_value("path", repr(str(path)), f"it cannot be written ({error})", instead) from error
        return target

    def to_html(self, path: str | Path | None = None) -> str:
        """Make a report page in one file that needs nothing else: every example with its picture, checks and settings.

        Args:
            path: where to write it, if anywhere.

        Returns:
            The page.

        Raises:
            InvalidValueError: for data of a shape that has no picture.
            InvalidTypeError: for several inputs; ``plot`` draws them.
        """
        from pellucid.report import render_report, subject_of  # noqa: PLC0415  (it draws)

        target = None if path is None else accept_path("path", path)
        page = render_report([self], subject_of(self))
        if target is not None:
            target.write_text(page, encoding="utf-8")
        return page

    def plot(
        self,
        example: int | Sequence[int] | None = None,
        *,
        ax: Axes | None = None,
        kind: str | None = None,
        **options: Any,
    ) -> tuple[Figure, Axes]:
        """Draw the picture that fits the data; without arguments that of the first example.

        ========= ============================================= =======================================
        kind      chosen for attributions per example           drawn by, in ``pellucid.visualization``
        ========= ============================================= =======================================
        image     (1 or 3, H, W), (H, W)                        draw_attribution; draw_images of several
        table     (F,)                                          draw_bars
        waterfall (F,), on request                              draw_waterfall
        beeswarm  (F,), on request; shows all examples          draw_beeswarm
        text      (T,) or (T, D) with tokens or integer inputs  draw_tokens
        series    (C, T) with few channels, or (T, C)           draw_series
        layer     (C, H, W) of another shape than the input     draw_channels
        ========= ============================================= =======================================

        Blue lowers the explained output and orange raises it, in the unit of the attributions. The title tells
        method, target, baseline and delta.

        Example:
            >>> import pellucid, torch
            >>> explanation = pellucid.explain(torch.nn.Linear(2, 1), torch.ones(1, 2), target=0)
            >>> figure, ax = explanation.labelled(names=["age", "dose"]).plot(kind="waterfall")
            >>> ax.get_title().strip()
            'integrated gradients, target 0'

        Args:
            example: which example, by default the first; a list of several images gives a grid on one scale.
            ax: axes to draw on; a new figure, not known to pyplot, is made without.
            kind: a picture by name instead of the one that fits.
            **options: further arguments of the function that draws it, such as ``limit``, ``title`` or ``top``.

        Returns:
            The figure and axes.

        Raises:
            InvalidValueError: for an example that is not there, or data that have no picture of the kind.
            InvalidTypeError: for an option that the picture does not have.
        """
        from pellucid.visualization.explanations import plot_explanation  # noqa: PLC0415  (it draws)

        return plot_explanation(self, example, ax, kind, options)

    def _repr_html_(self) -> str:
        from pellucid.visualization.notebook import explanation_html  # noqa: PLC0415  (it draws)

        try:
            return explanation_html(self)
        except InvalidValueError:  # data without a picture: a notebook shows the one line instead
            return f"<code>{html.escape(repr(self))}</code>"


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

    accept_path("path", path)
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
    "bypass",
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
        layer=header.get("layer"),
        neuron=header.get("neuron"),
        names=_texts(header.get("names")),
        tokens=None if header.get("tokens") is None else tuple(map(tuple, header["tokens"])),
    )


def _certificate(stored: dict[str, Any] | None) -> Certificate | None:
    if stored is None:
        return None
    lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    operations = tuple(OperationReport(**row) for row in stored["operations"])
    return Certificate(**{**stored, **lists, "operations": operations})


def accept_names(names: Any, inputs: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Check the names of columns or channels against the inputs."""
    columns = sum(x[0].numel() for x in inputs) if all(x.dim() <= 2 for x in inputs) else None
    texts = accept_texts("names", names, "each column has one")
    if columns is not None and len(texts) != columns:
        raise invalid_value("names", f"of length {len(texts)}", f"the inputs have {columns} columns", "one for each")
    return texts


def accept_tokens(tokens: Any, inputs: tuple[Tensor, ...]) -> tuple[tuple[str, ...], ...]:
    """Check the tokens of texts against the inputs."""
    texts = (
        [listed(text) for text in tokens] if isinstance(tokens, Sequence) and not isinstance(tokens, str) else [None]
    )
    told = tuple(text for text in texts if text is not None)
    if len(told) < len(texts):
        raise invalid_type("tokens", f"a {type(tokens).__name__}", "each text has a list of them", "a list of lists")
    if len(told) != len(inputs[0]):
        why = f"there are {len(inputs[0])} examples"
        raise invalid_value("tokens", f"of length {len(told)}", why, "a list of tokens for each")
    shape = tuple(inputs[0].shape)
    if len(shape) not in {2, 3}:
        raise invalid_value("tokens", "given", f"the inputs have shape {shape}", "them for texts, (N, T) or (N, T, D)")
    for example, text in enumerate(told):
        if len(text) > shape[1]:
            why = f"the inputs have {shape[1]} places"
            raise invalid_value(f"tokens[{example}]", f"of length {len(text)}", why, "one token for each, or fewer")
    return told


def _texts(value: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


def _tuple(value: Tensors) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)
