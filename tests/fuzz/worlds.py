"""Models of any number of inputs, of any shapes, with outputs of any form; and what is right for them."""

import itertools
from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from tests.fuzz.asking import BrokenError, draw, small_shapes
from tests.models import DOUBLE, Output

ARGUMENTS = {
    "nothing": lambda rows: None,
    "number": lambda rows: 1.5,
    "rows": lambda rows: draw((rows,), 5) + 2,
    "shared": lambda rows: draw((rows, 2, 2), 6),
    "tuple": lambda rows: (draw((rows, 1), 7) + 2, "word", None),
    "dictionary": lambda rows: {"scale": 2.0},
    "whole": torch.arange,
}


def _scale(args, rows):
    """One factor per row from whatever was passed on."""
    total = torch.ones(rows, dtype=DOUBLE)
    for value in args:
        if isinstance(value, torch.Tensor):
            follows = value.dim() in {1, 2}
            total = total + (value.double().reshape(rows, -1).mean(1) if follows else value.double().mean())
        elif isinstance(value, int | float):
            total = total + value
    return total


def _hidden(inputs, args):
    """A curved number per row and class in which all inputs meet, (rows, 6)."""
    rows = len(inputs[0])
    total = torch.zeros(rows, 6, dtype=DOUBLE)
    for i, x in enumerate(inputs):
        flat = x.to(DOUBLE).reshape(rows, -1) if x.numel() else x.new_zeros(rows, 0, dtype=DOUBLE)
        weights = torch.sin(torch.arange(flat.shape[1] * 6, dtype=DOUBLE) + i + 1).reshape(-1, 6)
        total = total + flat @ weights + 0.3 * torch.tanh(flat.sum(1, keepdim=True)) ** 2
    return torch.tanh(total * 0.5) * _scale(args, rows)[:, None] + 0.1 * total


OUTPUTS = {
    "row": lambda h: h[:, 0],
    "column": lambda h: h[:, :1],
    "classes": lambda h: h[:, :3],
    "map": lambda h: h.reshape(-1, 2, 3),
    "wide": lambda h: h[:, :3].reshape(-1, 1, 3, 1),
}
"""Outputs of which a target picks one number per row."""


def _inference(hidden):
    with torch.inference_mode():
        return hidden.detach()[:, :3].clone()


ODD_OUTPUTS = {
    "sum": lambda h: h.sum(),
    "mean of rows": lambda h: h.mean(0, keepdim=True),
    "mixed": lambda h: h[:, :3] - h[:, :3].mean(0),
    "sorted": lambda h: h[:, :3].sort(0).values,
    "more rows": lambda h: torch.cat([h, h])[:, :3],
    "fewer rows": lambda h: h[1:, :3],
    "shape by rows": lambda h: h[:, : 1 + len(h) % 3],
    "no classes": lambda h: h[:, :0],
    "integers": lambda h: h.argmax(1),
    "number": lambda h: float(h.detach().sum()),
    "nothing": lambda h: None,
    "empty": lambda h: (),
    "word": lambda h: "word",
    "detached": lambda h: h[:, :3].detach(),
    "constant": lambda h: torch.ones(len(h), 3, dtype=DOUBLE),
    "complex": lambda h: torch.complex(h, h),
    "infinite": lambda h: h[:, :3] / 0.0,
    "half": lambda h: h[:, :3].half(),
    "raises": lambda h: (_ for _ in ()).throw(BrokenError()),
    "parameter": lambda h: torch.nn.Parameter(h[:, :3].detach()),
    "sparse": lambda h: h[:, :3].to_sparse(),
    "array": lambda h: h.detach().numpy(),
    "huge integer": lambda h: 10**400,
    "truth": lambda h: True,
    "complex number": lambda h: 1j,
    "generator": lambda h: iter([h]),
    "meta": lambda h: h[:, :3].to("meta"),
    "inference": _inference,
    "small floats": lambda h: h[:, :3].to(torch.float8_e4m3fn),
    "unsigned": lambda h: h.argmax(1).to(torch.uint32),
    "no rows": lambda h: h[:0, :3],
    "scalars": lambda h: [h[0, 0], h.sum()],
}
WRAPS = {
    "plain": lambda o: o,
    "tuple": lambda o: (o, 1),
    "list": lambda o: [torch.zeros(3, dtype=torch.long), o],
    "dictionary": lambda o: {"ids": torch.ones(2, dtype=torch.int32), "logits": o},
    "record": lambda o: Output(torch.ones(2, dtype=torch.long), o),
}


@dataclass
class World:
    """A question with what is needed to judge the answer."""

    inputs: tuple
    single: bool
    args: object
    output: str
    wrap: str
    writes: bool
    target: object

    def __post_init__(self):
        self.calls = 0

    @property
    def given(self):
        return self.inputs[0] if self.single else self.inputs

    @property
    def rows(self):
        return len(self.inputs[0])

    def plain(self, inputs, args):
        return {**OUTPUTS, **ODD_OUTPUTS}[self.output](_hidden(inputs, args))

    def model(self, *values):
        count = len(self.inputs)
        inputs, args = values[:count], values[count:]
        if self.writes:
            for value in inputs:
                if value.is_floating_point():
                    value.mul_(1.0)
        output = self.plain(inputs, args)
        return WRAPS[self.wrap](output) if isinstance(output, torch.Tensor) else output

    def own_args(self, n):
        """Additional arguments of example n alone."""
        args = () if self.args is None else self.args if isinstance(self.args, tuple) else (self.args,)
        follows = [isinstance(a, torch.Tensor) and a.dim() in {1, 2} for a in args]
        return tuple(a[n : n + 1] if f else a for a, f in zip(args, follows, strict=True))

    def own_target(self, n):
        """The target of example n as a tuple, or None."""
        target = self.target
        if isinstance(target, torch.Tensor):
            target = target.reshape(-1).tolist()
            target = target * self.rows if len(target) == 1 else target
        if isinstance(target, list):
            target = target[n]
        return target if isinstance(target, tuple) or target is None else (target,)

    def value(self, inputs, n):
        """The explained value of one row, for the arguments and target of example n, by plain indexing."""
        output = self.plain(inputs, self.own_args(n))[0]
        target = self.own_target(n)
        return (output if target is None else output[target]).sum()

    def one(self, n):
        """Example n as a batch of one."""
        return tuple(x[n : n + 1] for x in self.inputs)


def targets(output, rows):
    """Targets that fit an output, in all forms."""
    if output in {"row", "column"}:
        zero = [0, (0,), [0] * rows, torch.zeros(rows, dtype=torch.long), None] if output == "column" else [None]
        return st.sampled_from(zero)
    if output == "classes":
        index = st.integers(-3, 2)
        return st.one_of(
            index,
            index.map(lambda i: (i,)),
            index.map(torch.tensor),
            st.lists(index, min_size=rows, max_size=rows),
            st.lists(index, min_size=rows, max_size=rows).map(torch.tensor),
            st.lists(index.map(lambda i: (i,)), min_size=rows, max_size=rows),
            st.sampled_from([(slice(None),), (slice(0, 2),), (slice(None, None, 2),), (slice(1, 9),)]),
        )
    pairs = {
        "map": st.tuples(st.integers(-2, 1), st.integers(-3, 2)),
        "wide": st.tuples(st.just(0), st.integers(-3, 2), st.just(0)),
    }[output]
    return st.one_of(
        pairs,
        st.lists(pairs, min_size=rows, max_size=rows),
        pairs.map(lambda p: (*p[:-1], slice(None)) if output == "map" else (p[0], slice(1, None), p[2])),
    )


@st.composite
def worlds(draw_, dtypes=(DOUBLE,), outputs=tuple(OUTPUTS), shapes=None, most_rows=3):
    """A well-formed question: what comes back must be right."""
    rows = draw_(st.integers(1, most_rows))
    each = draw_(st.lists(small_shapes() if shapes is None else shapes, min_size=1, max_size=3))
    inputs = tuple(draw((rows, *shape), i, draw_(st.sampled_from(dtypes))) for i, shape in enumerate(each))
    output = draw_(st.sampled_from(outputs))
    return World(
        inputs,
        single=len(inputs) == 1 and draw_(st.booleans()),
        args=ARGUMENTS[draw_(st.sampled_from(sorted(ARGUMENTS)))](rows),
        output=output,
        wrap=draw_(st.sampled_from(sorted(WRAPS))),
        writes=draw_(st.booleans()),
        target=draw_(targets(output, rows))
        if output in OUTPUTS
        else draw_(st.sampled_from([None, 0, (0,), [0] * rows])),
    )


@st.composite
def baselines_for(draw_, world):
    """Baselines that fit, and the same as one tensor of N rows for each input."""
    given, full = [], []
    for i, x in enumerate(world.inputs):
        kind = draw_(st.sampled_from(("number", "one", "all")))
        rows = {"one": 1, "all": world.rows}.get(kind)
        base = draw_(st.sampled_from([0, 0.25, -1.5, True])) if rows is None else draw((rows, *x.shape[1:]), 20 + i)
        given.append(base)
        full.append(torch.as_tensor(base).to(x.dtype).expand_as(x).clone())
    if draw_(st.integers(0, 4)) == 0:
        return None, tuple(torch.zeros_like(x) for x in world.inputs)
    return (given[0] if world.single else tuple(given)), tuple(full)


def parts(found):
    return found if isinstance(found, tuple) else (found,)


def combinations(features):
    return itertools.product([False, True], repeat=features)
