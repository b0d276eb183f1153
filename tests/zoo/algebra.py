"""Models that compute with matrices, spectra, complex numbers and log-densities."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .entry import ZooModel, entry

FAMILY = "algebra"
WIDTH = 8


class LinearAlgebra(nn.Module):
    """A Gaussian's log-density whose covariance the net predicts: logdet, solve, Cholesky, inverse."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 12))

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        root = h[:, :9].reshape(-1, 3, 3)
        covariance = root @ root.mT + torch.eye(3, dtype=x.dtype)
        mean = h[:, 9:, None]
        energy = (mean * torch.linalg.solve(covariance, mean)).sum((1, 2))
        factor = torch.linalg.cholesky(covariance)
        trace = torch.linalg.inv(covariance).diagonal(dim1=-2, dim2=-1).sum(-1)
        return (torch.logdet(covariance) + energy + factor[:, 2, 0] + trace + torch.det(root))[:, None]


class MatrixFunctions(nn.Module):
    """Singular values, eigenvalues of a symmetric matrix and a matrix exponential."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 16)

    def forward(self, x: Tensor) -> Tensor:
        root = self.body(x).reshape(-1, 4, 4)
        values = torch.linalg.eigvalsh(root + root.mT)
        singular = torch.linalg.svdvals(root)
        flow = torch.linalg.matrix_exp(0.3 * (root - root.mT))
        return torch.cat([values, singular, flow[:, 0]], 1)


class Fourier(nn.Module):
    """FNet mixing: the real part of a two-dimensional Fourier transform in place of attention."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x + torch.fft.fft2(x, norm="ortho").real)
        return x.mean(1)


class Spectral(nn.Module):
    """A Fourier neural operator layer and a power spectrum: complex values in between."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5, 4, 4, 2))
        self.lift, self.head = nn.Linear(2, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(self.lift(x), dim=1)[:, :5]
        weight = torch.view_as_complex(4 * self.weight)
        mixed = torch.einsum("bfi,fio->bfo", spectrum, weight)
        back = F.gelu(torch.fft.irfft(mixed, n=x.shape[1], dim=1))
        power = torch.log1p(spectrum.abs().square())
        return self.head(back.mean(1)) + self.head(power.mean(1))


class ComplexNet(nn.Module):
    """A complex linear layer with a phase-keeping activation, magnitude and angle read out."""

    def __init__(self):
        super().__init__()
        self.real, self.imag = nn.Linear(6, 8), nn.Linear(6, 8)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.complex(self.real(x), self.imag(x))
        z = z * torch.sigmoid(z.abs()) * torch.conj(z.roll(1, -1))
        return torch.cat([z.abs(), z.real, z.imag], -1)


class Spectrogram(nn.Module):
    """Short-time Fourier transform, mel-like filters, logarithm, convolution."""

    def __init__(self):
        super().__init__()
        self.filters, self.conv = nn.Linear(9, 6), nn.Conv1d(6, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        window = torch.hann_window(16, dtype=x.dtype)
        power = torch.stft(x, 16, 4, window=window, return_complex=True).abs().pow(2)
        return self.conv(F.relu(self.filters(torch.log(power + 1e-3).mT)).mT).mean(-1)


class FlowDensity(nn.Module):
    """A coupling flow with its log-determinant, and a mixture of logistics as base density."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 6)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        total = x.new_zeros(x.shape[0])
        a, b = x.chunk(2, -1)
        for net in self.nets:
            scale, shift = net(a).split(3, -1)
            a, b = b * torch.exp(torch.tanh(scale)) + shift, a
            total = total + torch.tanh(scale).sum(-1)
        z = torch.cat([a, b], -1)
        return (total + torch.logaddexp(F.logsigmoid(z), -z.square()).sum(-1))[:, None]


def _entries() -> tuple[ZooModel, ...]:
    rows = {
        "linear_algebra": (LinearAlgebra, (6,)),
        "matrix_functions": (MatrixFunctions, (6,)),
        "fourier_mixing": (Fourier, (6, WIDTH)),
        "fourier_operator": (Spectral, (12, 2)),
        "complex_net": (ComplexNet, (6,)),
        "spectrogram": (Spectrogram, (48,)),
        "coupling_flow": (FlowDensity, (6,)),
    }
    return tuple(entry(name, FAMILY, make, *shapes, gain=1.6) for name, (make, *shapes) in rows.items())


ENTRIES = _entries()
