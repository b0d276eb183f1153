"""Every name in LINEAR is linear: f(x) - f(x') = J(x) (x - x'), over shapes and arguments.

This list is the one place where a wrong entry would be silently wrong, because linear operations keep
their own gradient. A name without a case fails.
"""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from pellucid._core.rules.operation import operation_of
from pellucid._core.rules.vocabulary import LINEAR

CONST = torch.linspace(-1, 2, 24, dtype=torch.float64).reshape(2, 3, 4)
INDEX = torch.tensor([2, 0, 1])
MASK = torch.tensor([[[True, False, True, True]] * 3] * 2)
ATEN = torch.ops.aten


def written(function):
    """The result of an in-place operation on a copy."""

    def run(x):
        target = x.clone()
        function(target)
        return target

    return run


def drop(name):
    def run(x):
        torch.manual_seed(3)
        return getattr(torch, name)(x, 0.5, True)

    return run


def image(function):
    return lambda x: function(x.reshape(1, 2, 3, 4))


def fft(name, **options):
    function = getattr(torch.fft, name)
    return lambda x: function(x, **options)


def complex_fft(name, **options):
    function = getattr(torch.fft, name)
    return lambda x: function(torch.complex(x, 2 * x), **options)


# Each case is a function of a (2, 3, 4) tensor. Results may be complex, or several tensors.
CASES = {
    "add": [
        lambda x: x + CONST,
        lambda x: torch.add(x, x.flip(0), alpha=3),
        lambda x: x.add_(CONST[0]),
        lambda x: 2 + x,
    ],
    "sub": [lambda x: x - CONST, lambda x: torch.sub(x, x.flip(1), alpha=2), lambda x: x.sub_(1)],
    "subtract": [lambda x: torch.subtract(x, x.flip(1))],
    "rsub": [lambda x: torch.rsub(x, 3.0), lambda x: torch.rsub(x, CONST, alpha=2)],
    "__rsub__": [lambda x: 3 - x, lambda x: torch.Tensor.__rsub__(x, CONST)],
    "neg": [lambda x: -x, lambda x: x.neg_()],
    "negative": [torch.negative],
    "positive": [lambda x: +x],
    "sum": [
        lambda x: x.sum(),
        lambda x: x.sum((0, 2), keepdim=True),
        lambda x: torch.sum(x, 1, dtype=torch.float64),
    ],
    "mean": [lambda x: x.mean(), lambda x: x.mean((0, 2), keepdim=True)],
    "cumsum": [lambda x: x.cumsum(1), lambda x: x.cumsum_(-1)],
    "diff": [torch.diff, lambda x: torch.diff(x, n=2, dim=2, prepend=CONST)],
    "trace": [lambda x: x[0, :, :3].trace()],
    "conj": [lambda x: torch.complex(x, x).conj()],
    "real": [lambda x: torch.real(torch.complex(x, -x)), lambda x: torch.complex(x, -x).real],
    "imag": [lambda x: torch.imag(torch.complex(x, -x)), lambda x: torch.complex(x, -x).imag],
    "view": [lambda x: x.view(6, 4), lambda x: x.view(-1)],
    "view_as": [lambda x: x.view_as(CONST.reshape(6, 4))],
    "reshape": [lambda x: x.reshape(4, 6), lambda x: x.mT.reshape(-1)],
    "reshape_as": [lambda x: x.reshape_as(CONST.reshape(6, 4))],
    "permute": [lambda x: x.permute(2, 0, 1)],
    "transpose": [lambda x: x.transpose(0, 2), lambda x: x.transpose_(0, 2)],
    "t": [lambda x: x[0].t()],
    "adjoint": [lambda x: x.adjoint()],
    "T": [lambda x: x[0].T],
    "mT": [lambda x: x.mT],
    "H": [lambda x: torch.complex(x[0], x[1]).H],
    "mH": [lambda x: torch.complex(x, 2 * x).mH],
    "flatten": [lambda x: x.flatten(1)],
    "unflatten": [lambda x: x.unflatten(2, (2, 2)), lambda x: torch.unflatten(x, 2, (2, 2))],
    "ravel": [torch.ravel],
    "contiguous": [lambda x: x.mT.contiguous()],
    "clone": [lambda x: x.clone()],
    "to": [lambda x: x.to(torch.float64), lambda x: x.to("cpu", copy=True)],
    "type": [lambda x: x.type(torch.float64)],
    "type_as": [lambda x: x.type_as(CONST)],
    "float": [lambda x: x.float()],
    "double": [lambda x: x.double()],
    "half": [lambda x: x.half()],
    "bfloat16": [lambda x: x.bfloat16()],
    "cpu": [lambda x: x.cpu()],
    "cuda": [],
    "alias": [ATEN.alias.default],
    "expand": [lambda x: x.expand(5, 2, 3, 4)],
    "expand_as": [lambda x: x[:, :1].expand_as(CONST)],
    "broadcast_to": [lambda x: x.broadcast_to(2, 2, 3, 4)],
    "broadcast_tensors": [lambda x: torch.broadcast_tensors(x, CONST[:1])],
    "repeat": [lambda x: x.repeat(2, 1, 3)],
    "tile": [lambda x: x.tile(2, 1)],
    "repeat_interleave": [
        lambda x: x.repeat_interleave(2, 1),
        lambda x: x.repeat_interleave(torch.tensor([1, 2, 3]), 1),
    ],
    "cat": [lambda x: torch.cat([x, CONST, x], 1)],
    "concat": [lambda x: torch.concat([x, x])],
    "concatenate": [lambda x: torch.concatenate([x, x], dim=2)],
    "stack": [lambda x: torch.stack([x, CONST], 1)],
    "hstack": [lambda x: torch.hstack([x, x])],
    "vstack": [lambda x: torch.vstack([x, CONST])],
    "dstack": [lambda x: torch.dstack([x, x])],
    "column_stack": [lambda x: torch.column_stack([x[0], x[1]])],
    "meshgrid": [lambda x: torch.meshgrid(x[0, 0], x[1, 1], indexing="ij")],
    "block_diag": [lambda x: torch.block_diag(x[0], x[1])],
    "split": [lambda x: x.split(2, 2), lambda x: torch.split(x, [1, 2], 1)],
    "split_with_sizes": [lambda x: x.split_with_sizes([1, 2], 1)],
    "chunk": [lambda x: x.chunk(2, 2)],
    "tensor_split": [lambda x: x.tensor_split(3, 2)],
    "unsafe_chunk": [lambda x: x.unsafe_chunk(2, 2)],
    "unsafe_split": [lambda x: x.unsafe_split(2, 2)],
    "unbind": [lambda x: x.unbind(1)],
    "hsplit": [lambda x: x.hsplit(3)],
    "vsplit": [lambda x: x.vsplit(2)],
    "dsplit": [lambda x: x.dsplit(2)],
    "narrow": [lambda x: x.narrow(2, 1, 2)],
    "select": [lambda x: x.select(1, 2)],
    "slice": [lambda x: ATEN.slice.Tensor(x, 2, 0, 4, 2)],
    "select_scatter": [lambda x: torch.select_scatter(x, x[:, 0], 1, 2)],
    "slice_scatter": [lambda x: torch.slice_scatter(x, x[..., :2], 2, 1, 3)],
    "diagonal_scatter": [lambda x: torch.diagonal_scatter(x[0], x[0].flip(1).diagonal())],
    "as_strided": [lambda x: x.as_strided((2, 3), (1, 4), 2)],
    "__getitem__": [lambda x: x[:, 1], lambda x: x[..., INDEX], lambda x: x[MASK], lambda x: x[None, :, ::2]],
    "__setitem__": [
        written(lambda x: x.__setitem__((slice(None), 1), 2 * x[:, 0])),
        written(lambda x: x.__setitem__(INDEX[:1] - 1, 3.0)),
        written(lambda x: x.__setitem__((0, MASK[0]), x[1, MASK[0]])),
    ],
    "index_select": [lambda x: x.index_select(1, INDEX)],
    "gather": [lambda x: x.gather(1, torch.tensor([[[2, 0, 1, 1]]] * 2))],
    "take": [lambda x: x.take(torch.tensor([5, 0, 23]))],
    "take_along_dim": [lambda x: torch.take_along_dim(x, torch.tensor([[[2, 0, 1, 1]]] * 2), 1)],
    "index_add": [lambda x: x.index_add(1, INDEX, x, alpha=2), lambda x: x.index_add_(1, INDEX, CONST)],
    "index_put": [
        lambda x: x.index_put((torch.tensor([0, 1]), INDEX[:2]), x[0, :2]),
        lambda x: x.index_put_((torch.tensor([0, 1]),), CONST, accumulate=True),
    ],
    "index_copy": [lambda x: x.index_copy(1, INDEX[:2], x[:, 1:])],
    "scatter": [
        lambda x: x.scatter(1, torch.tensor([[[2, 0, 1, 1]]] * 2), x[:, :1] * 3),
        lambda x: x.scatter_(2, torch.tensor([[[2, 0]]]), 4.0),
    ],
    "scatter_add": [lambda x: x.scatter_add(1, torch.tensor([[[2, 0, 1, 1]]] * 2), x[:, 1:2])],
    "masked_fill": [
        lambda x: x.masked_fill(MASK, 2.0),
        lambda x: x.masked_fill_(MASK[:1], x[0, 0, 0].clone()),
    ],
    "masked_select": [lambda x: x.masked_select(MASK)],
    "masked_scatter": [lambda x: x.masked_scatter(MASK, x.flip(0))],
    "where": [
        lambda x: torch.where(MASK, x, CONST),
        lambda x: x.where(MASK, x.flip(2)),
        lambda x: torch.where(MASK, 0.5, x),
    ],
    "index_fill": [lambda x: x.index_fill(1, INDEX[:2], 3.0)],
    "squeeze": [lambda x: x[:1].squeeze(0), lambda x: x[:, :1].squeeze()],
    "unsqueeze": [lambda x: x.unsqueeze(1)],
    "movedim": [lambda x: x.movedim(0, 2)],
    "moveaxis": [lambda x: torch.moveaxis(x, 0, 2)],
    "swapaxes": [lambda x: x.swapaxes(0, 1)],
    "swapdims": [lambda x: x.swapdims(0, 1)],
    "atleast_1d": [torch.atleast_1d],
    "atleast_2d": [lambda x: torch.atleast_2d(x[0, 0])],
    "atleast_3d": [lambda x: torch.atleast_3d(x[0])],
    "flip": [lambda x: x.flip(0, 2)],
    "fliplr": [torch.fliplr],
    "flipud": [torch.flipud],
    "roll": [lambda x: x.roll(1, 2)],
    "rot90": [lambda x: x.rot90(1, (1, 2))],
    "tril": [lambda x: x.tril(-1)],
    "triu": [lambda x: x.triu()],
    "diag": [lambda x: x[0].diag(), lambda x: x[0, 0].diag()],
    "diagonal": [lambda x: x.diagonal(1, 1, 2)],
    "diag_embed": [torch.diag_embed],
    "diagflat": [torch.diagflat],
    "pad": [
        lambda x: F.pad(x, (1, 2), value=3.0),
        lambda x: F.pad(x, (1, 2), "reflect"),
        lambda x: F.pad(x, (1, 2), "replicate"),
        lambda x: F.pad(x, (1, 2), "circular"),
    ],
    "constant_pad_nd": [lambda x: torch.constant_pad_nd(x, (1, 1), 2.0)],
    "unfold": [lambda x: x.unfold(2, 2, 1), image(lambda x: F.unfold(x, 2))],
    "fold": [lambda x: F.fold(x.reshape(1, 4, 6), (3, 4), 2)],
    "im2col": [image(lambda x: ATEN.im2col.default(x, [2, 2], [1, 1], [0, 0], [1, 1]))],
    "col2im": [lambda x: ATEN.col2im.default(x.reshape(1, 4, 6), [3, 4], [2, 2], [1, 1], [0, 0], [1, 1])],
    "pixel_shuffle": [lambda x: F.pixel_shuffle(x.reshape(1, 4, 2, 3), 2)],
    "pixel_unshuffle": [lambda x: F.pixel_unshuffle(x.reshape(1, 1, 6, 4), 2)],
    "channel_shuffle": [lambda x: torch.channel_shuffle(x.reshape(1, 4, 2, 3), 2)],
    "avg_pool1d": [lambda x: F.avg_pool1d(x, 2, ceil_mode=True)],
    "avg_pool2d": [image(lambda x: F.avg_pool2d(x, 2, 1, 1, count_include_pad=False))],
    "avg_pool3d": [lambda x: F.avg_pool3d(x.reshape(1, 1, 2, 3, 4), 2)],
    "adaptive_avg_pool1d": [lambda x: F.adaptive_avg_pool1d(x, 3)],
    "adaptive_avg_pool2d": [image(lambda x: F.adaptive_avg_pool2d(x, (2, 3)))],
    "adaptive_avg_pool3d": [lambda x: F.adaptive_avg_pool3d(x.reshape(1, 1, 2, 3, 4), (1, 2, 3))],
    "interpolate": [
        image(lambda x, m=mode: F.interpolate(x, scale_factor=2, mode=m))
        for mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    ],
    "upsample_nearest1d": [lambda x: torch._C._nn.upsample_nearest1d(x, (8,), None)],
    "upsample_nearest2d": [image(lambda x: torch._C._nn.upsample_nearest2d(x, (6, 8), None))],
    "upsample_nearest3d": [lambda x: torch._C._nn.upsample_nearest3d(x.reshape(1, 1, 2, 3, 4), (4, 6, 8), None)],
    "upsample_linear1d": [lambda x: torch._C._nn.upsample_linear1d(x, (8,), False, None)],
    "upsample_bilinear2d": [image(lambda x: torch._C._nn.upsample_bilinear2d(x, (6, 8), True, None))],
    "upsample_bicubic2d": [image(lambda x: torch._C._nn.upsample_bicubic2d(x, (6, 8), True, None))],
    "upsample_trilinear3d": [
        lambda x: torch._C._nn.upsample_trilinear3d(x.reshape(1, 1, 2, 3, 4), (4, 6, 8), True, None)
    ],
    "dropout": [drop("dropout"), lambda x: torch.dropout(x, 0.5, False)],
    "feature_dropout": [drop("feature_dropout")],
    "alpha_dropout": [drop("alpha_dropout")],
    "feature_alpha_dropout": [drop("feature_alpha_dropout")],
    "copy_": [
        lambda x: torch.empty(2, 3, 4, dtype=x.dtype).copy_(x),
        written(lambda x: x[0].copy_(x[1] * 2)),
    ],
    "zero_": [written(lambda x: x[0].zero_())],
    "fill_": [written(lambda x: x[0].fill_(2.0)), written(lambda x: x[0].fill_(x[1, 1, 1]))],
    "normal_": [written(lambda x: x[0].normal_(generator=torch.Generator().manual_seed(1)))],
    "uniform_": [written(lambda x: x[0].uniform_(generator=torch.Generator().manual_seed(1)))],
    "view_as_real": [lambda x: torch.view_as_real(torch.complex(x, 3 * x))],
    "view_as_complex": [lambda x: torch.view_as_complex(x.reshape(2, 3, 2, 2))],
    "_pack_padded_sequence": [lambda x: torch._VF._pack_padded_sequence(x, torch.tensor([3, 2]), True)[0]],
    "_pad_packed_sequence": [
        lambda x: torch._VF._pad_packed_sequence(x.reshape(6, 4), torch.tensor([2, 2, 1, 1]), True, 0.0, 4)[0]
    ],
    "stft": [lambda x: torch.stft(x.reshape(2, 12), 4, window=torch.hann_window(4).double(), return_complex=True)],
    "istft": [lambda x: torch.istft(torch.complex(x, x.flip(2)), 4, 2, window=torch.ones(4).double(), center=True)],
    "affine_grid_generator": [lambda x: F.affine_grid(x.reshape(4, 2, 3), [4, 1, 3, 3], align_corners=False)],
    **{
        f"fft_{name}": [fft(name), fft(name, norm="ortho")]
        for name in ("fft", "ifft", "rfft", "ihfft", "fft2", "ifft2", "rfft2", "fftn", "ifftn", "rfftn")
    },
    **{f"fft_{name}": [complex_fft(name)] for name in ("irfft", "irfft2", "irfftn", "hfft")},
    "fft_fftshift": [torch.fft.fftshift],
    "fft_ifftshift": [torch.fft.ifftshift],
}
NEEDS_CUDA = {"cuda"}


class Names(TorchFunctionMode):
    """Collects the canonical names of all calls, including those in the bodies of Python functions."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        operation = operation_of(func)
        self.names.add(operation.name)
        if operation.kind.name == "UNKNOWN" and operation.body is not None:
            with self:
                return operation.body(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def parts(result):
    tensors = result if isinstance(result, tuple | list) else (result,)
    return [t for t in tensors if t.is_floating_point() or t.is_complex()]


def test_every_linear_name_has_a_case():
    cases = {name for name, functions in CASES.items() if functions}
    assert cases | NEEDS_CUDA == LINEAR


@pytest.mark.parametrize(
    ("name", "number"), [(name, k) for name, functions in CASES.items() for k in range(len(functions))]
)
def test_linear(name, number):
    function = CASES[name][number]
    generator = torch.Generator().manual_seed(0)
    x, start = (torch.randn(2, 3, 4, dtype=torch.float64, generator=generator) for _ in range(2))
    leaf = x.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Names() as seen:
            ends = parts(function(leaf.clone()))
        starts = parts(function(start.clone()))
    assert name in seen.names
    for y, first in zip(ends, starts, strict=True):
        if not y.requires_grad:
            assert torch.equal(y, first)
            continue
        weights = torch.randn(y.shape, dtype=torch.float64, generator=generator).to(y.dtype)
        (gradient,) = torch.autograd.grad(y, leaf, weights, retain_graph=True, allow_unused=True)
        change = (weights.conj() * (y.detach() - first)).real.sum()
        predicted = 0.0 if gradient is None else float((gradient * (x - start)).sum())
        loose = {torch.float32: 1e-5, torch.float16: 1e-1, torch.bfloat16: 1.0}.get(y.dtype, 1e-12)
        assert abs(float(change) - predicted) <= loose * (1 + abs(float(change)))
