"""What a call may ask without changing the answer: batches, chunks, precision, devices, modes, structures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ExpansionWarning
from pellucid.testing._judging import Judge, same, tensors
from pellucid.testing._laws import EXACT
from pellucid.testing._models import DOUBLE, TwoInputs, cnn
from pellucid.testing._subject import Subject, images, inputs_of_net

CHUNKS = (1, 3, 4, 7, 1000)
PRECISIONS = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}
"""By dtype, how far results may be from those in float64, as a share of the largest attribution or of one."""


def structure(subject: Subject) -> None:
    """Attributions look like the inputs, alone and in tuples, and are no part of a graph."""
    net, x, judge = subject.net(), inputs_of_net(), Judge("structure", subject.about)
    _looks_like(x, subject.run(net, x, target=1), judge)
    _looks_like((x,), subject.run(net, (x,), target=1), judge)
    b = torch.rand(3, 2, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(8))
    weights = torch.linspace(0.2, 1, 3, dtype=DOUBLE)
    model = TwoInputs(subject.activation) if subject.rectifiers else TwoInputs()
    found = subject.run(model, (x, b), target=2, additional_forward_args=weights)
    _looks_like((x, b), found, Judge("structure", "a model of two inputs"))


def _looks_like(inputs: Any, found: Any, judge: Judge) -> None:
    judge.require(isinstance(found, tuple) is isinstance(inputs, tuple), "a tuple is not answered by a tuple")
    judge.require(len(tensors(found)) == len(tensors(inputs)), "inputs and attributions are not equally many")
    for f, x in zip(tensors(found), tensors(inputs), strict=True):
        judge.require(f.shape == x.shape, f"attributions of shape {tuple(f.shape)} for inputs of {tuple(x.shape)}")
        judge.require((f.dtype, f.device) == (x.dtype, x.device), "dtype or device is not that of the inputs")
        judge.require(not f.requires_grad, "attributions are part of a graph")


def batch(subject: Subject) -> None:
    """A batch gets what its examples get one at a time, each with its target and its row of further arguments."""
    targets, weights = ([1] * 3 if subject.one_target else [0, 1, 2]), torch.linspace(0.5, 2, 3, dtype=DOUBLE)
    about = {subject.about: (subject.net(), inputs_of_net()), "a convolutional network": (cnn(), images(6, 3, 3))}
    for name, (net, x) in about.items():

        def model(v: Tensor, weight: Tensor, net: nn.Module = net) -> Tensor:
            output: Tensor = net(v * weight.reshape(-1, *(1,) * (v.dim() - 1)))
            return output

        def ask(rows: slice, target: Any, model: Any = model, x: Tensor = x) -> Any:
            return subject.run(model, x[rows], target=target, additional_forward_args=weights[rows])

        together = ask(slice(None), targets[0] if subject.one_target else targets)
        alone = torch.cat([ask(slice(i, i + 1), targets[i]) for i in range(3)])
        judge = Judge("batch", f"{name} with an additional argument")
        judge.equal(together, alone, EXACT, "attributions of a batch and of its examples one at a time")


def chunks(subject: Subject) -> None:
    """The result does not depend on how many rows a pass evaluates."""
    model, x, judge = cnn(), images(6, seed=3), Judge("chunks", "a convolutional network")
    whole = subject.run(model, x, target=1)
    for cap in CHUNKS:
        found = subject.run(model, x, target=1, **{subject.cap or "": cap})
        judge.equal(found, whole, 1e-10, f"attributions with {subject.cap}={cap} and without")


def mixing(subject: Subject) -> None:
    """That holds as well where an example bends to larger ones of its batch, though these do not bend to it."""
    net, x, judge = (
        subject.net(),
        inputs_of_net(),
        Judge("mixing", f"{subject.about}, over the largest norm of the batch"),
    )

    def scaled(v: Tensor) -> Tensor:
        output: Tensor = net(v) / (1 + v.square().sum(1).max())
        return output

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        alone = subject.run(scaled, x, target=1, **{subject.cap or "": 1})
        for cap in (None, 4):
            found = subject.run(scaled, x, target=1, **{subject.cap or "": cap})
            judge.equal(found, alone, subject.tolerance, f"attributions with {subject.cap}={cap} and with 1")


def sizes(subject: Subject) -> None:
    """Nor does it depend on what a model makes of larger passes, as one that has room for so many rows only."""
    net, x, seen = subject.net(), inputs_of_net(), set()

    def counting(v: Tensor) -> Tensor:
        seen.add(len(v))
        output: Tensor = net(v)
        return output

    expected, judge = subject.run(counting, x, target=1), Judge("sizes", subject.about)
    for size in sorted(seen):
        if size > len(x):

            def crowded(v: Tensor, size: int = size) -> Tensor:
                output: Tensor = net(v) * (1.5 if len(v) >= size else 1.0)
                return output

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExpansionWarning)
                found = subject.run(crowded, x, target=1)
            about = f"attributions where passes of {size} rows and more give something else, and where they do not"
            judge.equal(found, expected, EXACT, about)


def precision(subject: Subject) -> None:
    """Low precision comes near, keeps its dtype, and float64 is float64 throughout."""
    net, x, seen = subject.net(), inputs_of_net(), set()

    def looking(v: Tensor) -> Tensor:
        seen.add(v.dtype)
        output: Tensor = net(v.double())
        return output

    exact, judge = subject.run(looking, x, target=0), Judge("precision", subject.about)
    judge.require(seen == {DOUBLE}, f"a model for float64 was evaluated in {', '.join(map(str, seen))}")
    judge.require(not same(exact, exact.float().double()), "attributions in float64 are rounded to float32")
    for dtype, tolerance in PRECISIONS.items():
        found = subject.run(subject.net().to(dtype), x.to(dtype), target=0)
        judge.require(found.dtype == dtype, f"attributions of {found.dtype} for inputs of {dtype}")
        judge.equal(found.double(), exact, tolerance, f"attributions in {dtype} and in float64")


def accelerator() -> torch.device | None:
    """The accelerator that computes in float64 here, if there is one."""
    return torch.device("cuda") if torch.cuda.is_available() else None


def devices(subject: Subject) -> None:
    """On an accelerator the attributions are those of the CPU, and stay where the inputs are."""
    device = accelerator()
    if device is None:
        return
    judge = Judge("devices", "a convolutional network")
    x = images(6, seed=3)
    expected = subject.run(cnn(), x, target=1)
    found = subject.run(cnn().to(device), x.to(device), target=1)
    judge.require(found.device.type == device.type, f"attributions of inputs on {device} are on {found.device}")
    judge.equal(found.cpu(), expected, 1e-9, f"attributions on {device} and on the CPU")


def modes(subject: Subject) -> None:
    """Attributions are the same where gradients are switched off, and the switch stays as it is."""
    net, x = subject.net(), inputs_of_net()
    expected = subject.run(net, x, target=0)
    for name, mode in {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}.items():
        judge = Judge("modes", f"{subject.about} under {name}")
        with mode():
            found = subject.run(net, x * 1, target=0)
            judge.require(not torch.is_grad_enabled(), "gradients are switched on afterwards")
        judge.equal(found, expected, 0.0, "attributions and those outside")


def outputs(subject: Subject) -> None:
    """The first floating-point tensor of a structured output is what is explained."""
    net, x = subject.net(), inputs_of_net()
    expected = subject.run(net, x, target=0)
    wraps: dict[str, Callable[[Tensor], Any]] = {
        "a tuple": lambda o: (o, 1),
        "a dictionary": lambda o: {"logits": o},
        "a list that begins with integers": lambda o: [torch.zeros(3, dtype=torch.long), o],
    }
    for name, wrap in wraps.items():
        found = subject.run(lambda v, wrap=wrap: wrap(net(v)), x, target=0)
        judge = Judge("outputs", f"{subject.about} that returns {name}")
        judge.equal(found, expected, 0.0, "attributions and those of the bare output")


def writes(subject: Subject) -> None:
    """A model that writes into what it gets writes into copies."""
    net, x = subject.net(), inputs_of_net()
    weights, judge = torch.full((3, 1), 2.0, dtype=DOUBLE), Judge("writes", f"{subject.about} that writes")
    kept = x.clone(), weights.clone()

    def writing(v: Tensor, s: Tensor) -> Tensor:
        s.mul_(2)
        v.mul_(s)
        output: Tensor = net(v)
        return output

    found = subject.run(writing, x, target=0, additional_forward_args=weights)
    judge.require(same((x, weights), kept), "the user's tensors are changed")
    expected = subject.run(lambda v: net(v * 4), x, target=0)
    judge.equal(found, expected, EXACT, "attributions and those of the model without writing")
