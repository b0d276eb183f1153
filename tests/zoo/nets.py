"""Feed-forward nets: the ways users write layers, normalisations, gates and activations."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .entry import ZooModel, entry, excite, log_probability, logit

FAMILY = "feed-forward"
IMAGE = (3, 12, 12)


def mlp(activation: Callable[[], nn.Module], width: int = 24) -> nn.Module:
    return nn.Sequential(nn.Linear(10, width), activation(), nn.Linear(width, width), activation(), nn.Linear(width, 4))


class FunctionalMlp(nn.Module):
    """The same activation as a function between the layers."""

    def __init__(self, activation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(10, 24), nn.Linear(24, 24), nn.Linear(24, 4)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.activation(self.second(self.activation(self.first(x)))))


class ReusedActivation(nn.Module):
    def __init__(self, inplace: bool):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(10, 10) for _ in range(3))
        self.relu = nn.ReLU(inplace=inplace)
        self.last = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.relu(layer(x))
        return self.last(x)


def dict_of_weights() -> nn.Module:
    return nn.ParameterDict(
        {"a": torch.empty(24, 10), "b": torch.zeros(24), "c": torch.empty(4, 24), "d": torch.zeros(4)}
    )


def plain_function(weights: nn.ParameterDict, x: Tensor) -> Tensor:
    hidden = (x @ weights["a"].T + weights["b"]).clamp(min=0)
    return hidden @ weights["c"].T + weights["d"]


def convolutional(
    norm: Callable[[int], nn.Module] | None = None,
    inplace: bool = False,
    pool: type[nn.Module] = nn.MaxPool2d,
) -> nn.Module:
    def block(channels: int, out: int) -> list[nn.Module]:
        normed = [] if norm is None else [norm(out)]
        return [nn.Conv2d(channels, out, 3, padding=1), *normed, nn.ReLU(inplace=inplace)]

    return nn.Sequential(*block(3, 8), pool(2), *block(8, 8), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 5))


def functional_cnn(net: nn.Module, x: Tensor) -> Tensor:
    x = F.max_pool2d(F.relu(F.conv2d(x, net[0].weight, net[0].bias, padding=1)), 2)
    x = F.avg_pool2d(torch.relu(F.conv2d(x, net[3].weight, net[3].bias, padding=1)), 2)
    return F.linear(x.flatten(1), net[7].weight, net[7].bias)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, augmented: bool):
        super().__init__()
        self.one, self.two = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norm_one, self.norm_two = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.augmented = augmented

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm_two(self.two(self.relu(self.norm_one(self.one(x)))))
        if self.augmented:
            branch += x
        else:
            branch = branch + x
        return self.relu(branch)


def resnet(augmented: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        ResidualBlock(8, augmented),
        ResidualBlock(8, augmented),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


class DenseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(3 + 6 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(3 + 6 * i, 6, 3, padding=1) for i in range(3))
        self.head = nn.Linear(21, 5)

    def forward(self, x: Tensor) -> Tensor:
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(F.relu(norm(x), inplace=True))], dim=1)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 12, 3, padding=1)
        self.up = nn.ConvTranspose2d(12, 8, 2, stride=2)
        self.out = nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.elu(self.down(x))
        deep = F.leaky_relu(self.deep(F.max_pool2d(skip, 2)), 0.1)
        return self.out(torch.cat([skip, F.relu(self.up(deep))], 1))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Linear(10, 8 * 9)
        self.up = nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1)
        self.shuffle = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        x = self.start(z).view(-1, 8, 3, 3).relu_()
        return self.shuffle(F.relu(F.interpolate(self.up(x), scale_factor=2, mode="bilinear")))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.conv(x))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return self.head((x * gate[:, :, None, None]).amax((2, 3)))


class Gates(nn.Module):
    """Two inputs that meet in products, in a quotient and in a gated linear unit."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 16), nn.Linear(5, 16), nn.Linear(8, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a, b = self.a(x), self.b(y)
        mixed = a * b + torch.sigmoid(a) * torch.tanh(b) + a / (1 + b * b)
        return self.c(F.glu(mixed, dim=-1)) * torch.exp(-x.pow(2).mean(-1, keepdim=True))


class Highway(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.value, self.head = nn.Linear(10, 10), nn.Linear(10, 10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.lerp(x, F.relu(self.value(x)), torch.sigmoid(self.gate(x)))
        return self.head(x)


def hand_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(0.7978845608 * (x + 0.044715 * torch.pow(x, 3.0))))


def hand_silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def hand_leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.1 * torch.expm1(x))


def hand_masked(x: Tensor) -> Tensor:
    return x * (x > 0) + x.masked_fill(x < 0, 0.0).square() * 0.1


def hand_maximum(x: Tensor) -> Tensor:
    return torch.maximum(x, torch.zeros(())) - 0.2 * torch.minimum(x.abs(), torch.ones(()))


def written_in_place(x: Tensor) -> Tensor:
    y = x.clone()
    y[y < 0] = 0.0
    return y.mul_(1.3).add_(x, alpha=0.1)


class HandNorm(nn.Module):
    """Layer, RMS and batch statistics written by hand."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(10, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        x = F.gelu((x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5))
        x = self.two(x)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.three(F.softplus(x))


def layer_norm_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 16), nn.RMSNorm(16), nn.Linear(16, 4)
    )


def adaptive_pools() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(5),
        nn.Conv2d(6, 8, 2),
        nn.Softplus(),
        nn.LPPool2d(2, 2),
        nn.AdaptiveAvgPool2d((1, 2)),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


def one_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 8, 3, dilation=2),
        nn.SELU(),
        nn.MaxPool1d(2),
        nn.Conv1d(8, 8, 3, groups=4, padding=1, padding_mode="circular"),
        nn.Hardtanh(),
        nn.Flatten(),
        nn.LazyLinear(5),
    )


def volumetric() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.CELU(),
        nn.MaxPool3d(2),
        nn.Conv3d(4, 4, 2),
        nn.ReLU6(),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def one_dimensional_ready() -> nn.Module:
    net = one_dimensional()
    net(torch.zeros(1, 4, 16))
    return net


def parametrised() -> nn.Module:
    """Spectral and weight norm; excited beforehand, since spectral norm stores singular vectors."""
    net = excite(mlp(nn.PReLU), 3, 1.5)
    nn.utils.parametrizations.spectral_norm(net[0])
    nn.utils.parametrizations.weight_norm(net[2])
    nn.utils.parametrizations.orthogonal(net[4])
    return net


def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.ReflectionPad2d(1),
        nn.Conv2d(3, 6, 3, groups=3, stride=2),
        nn.Conv2d(6, 12, 1),
        nn.ReLU6(),
        nn.ChannelShuffle(2),
        nn.Upsample(scale_factor=2),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(108, 5),
    )


def _mlps() -> list[ZooModel]:
    modules = {
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        "silu": nn.SiLU,
        "mish": nn.Mish,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "elu": nn.ELU,
        "leaky_relu": nn.LeakyReLU,
        "softmax": lambda: nn.Softmax(-1),
        "hardshrink": lambda: nn.Sequential(nn.Hardshrink(0.2), nn.Softsign(), nn.LogSigmoid()),
        "threshold": lambda: nn.Sequential(nn.RReLU(), nn.Tanhshrink(), nn.Threshold(-0.1, 0.3)),
    }
    functions = {
        "functional_relu": F.relu,
        "inplace_functional_relu": lambda x: F.relu(x, inplace=True),
        "hand_gelu": hand_gelu,
        "hand_silu": hand_silu,
        "where": hand_leaky,
        "mask_product": hand_masked,
        "maximum": hand_maximum,
        "setitem": written_in_place,
        "sine": torch.sin,
    }
    built = [
        entry(
            f"mlp_{k}",
            FAMILY,
            lambda v=v: mlp(v),
            (10,),
            gain=1.8,
            select=logit(1),
        )
        for k, v in modules.items()
    ]
    return built + [
        entry(f"mlp_{k}", FAMILY, lambda v=v: FunctionalMlp(v), (10,), gain=1.8, select=log_probability(2))
        for k, v in functions.items()
    ]


ENTRIES: tuple[ZooModel, ...] = (
    *_mlps(),
    entry("mlp_plain_function", FAMILY, dict_of_weights, (10,), function=plain_function, gain=1.8),
    entry("mlp_reused_relu", FAMILY, lambda: ReusedActivation(False), (10,), gain=1.8),
    entry("mlp_reused_inplace_relu", FAMILY, lambda: ReusedActivation(True), (10,), gain=1.8),
    entry("mlp_layer_norm", FAMILY, layer_norm_mlp, (10,), gain=1.5),
    entry("mlp_hand_norm", FAMILY, HandNorm, (10,), gain=1.5),
    entry("mlp_parametrised", FAMILY, parametrised, (10,), gain=None, scale=2.0),
    entry("cnn", FAMILY, convolutional, IMAGE, gain=1.6, select=logit(2)),
    entry("cnn_average_pool", FAMILY, lambda: convolutional(pool=nn.AvgPool2d), IMAGE, gain=1.6),
    entry(
        "cnn_batch_norm_average_pool",
        FAMILY,
        lambda: convolutional(nn.BatchNorm2d, pool=nn.AvgPool2d),
        IMAGE,
        gain=1.6,
    ),
    entry("cnn_inplace", FAMILY, lambda: convolutional(inplace=True), IMAGE, gain=1.6),
    entry("cnn_function", FAMILY, convolutional, IMAGE, function=functional_cnn, gain=1.6),
    entry("cnn_batch_norm", FAMILY, lambda: convolutional(nn.BatchNorm2d), IMAGE, gain=1.6),
    entry("cnn_group_norm", FAMILY, lambda: convolutional(lambda c: nn.GroupNorm(2, c)), IMAGE, gain=1.6),
    entry(
        "cnn_instance_norm",
        FAMILY,
        lambda: convolutional(lambda c: nn.InstanceNorm2d(c, affine=True)),
        IMAGE,
        gain=1.6,
    ),
    entry(
        "cnn_local_response_norm",
        FAMILY,
        lambda: convolutional(lambda c: nn.LocalResponseNorm(3, 0.5)),
        IMAGE,
    ),
    entry("cnn_adaptive_pools", FAMILY, adaptive_pools, IMAGE, gain=1.6),
    entry("cnn_depthwise", FAMILY, depthwise, IMAGE, gain=1.6),
    entry("cnn_1d", FAMILY, one_dimensional_ready, (4, 16), gain=1.6),
    entry("cnn_3d", FAMILY, volumetric, (1, 4, 4, 4), gain=1.6),
    entry("resnet", FAMILY, lambda: resnet(False), IMAGE, gain=1.4, select=log_probability(1)),
    entry("resnet_augmented_add", FAMILY, lambda: resnet(True), IMAGE, gain=1.4),
    entry("densenet", FAMILY, DenseNet, IMAGE, gain=1.6),
    entry("unet", FAMILY, UNet, IMAGE, gain=1.6),
    entry("decoder", FAMILY, Decoder, (10,)),
    entry("squeeze_excite", FAMILY, SqueezeExcite, IMAGE, gain=1.6),
    entry("gates", FAMILY, Gates, (6,), (5,), gain=1.5),
    entry("highway", FAMILY, Highway, (10,), gain=1.6),
)
