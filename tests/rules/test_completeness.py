"""DeepLIFT is complete on small models of every kind, unmodified."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from .asking import incompleteness, lifted


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.relu = nn.BatchNorm2d(4), nn.ReLU(inplace=True)

    def forward(self, x):
        h = self.relu(self.norm(self.first(x)))
        h = h + self.relu(self.second(h))
        return F.max_pool2d(h, 2)


class InPlace(nn.Module):
    def forward(self, x):
        h = x.clone()
        h[:, 0] = h[:, 1] * h[:, 2]
        h[:, 1:3].relu_()
        y = h.exp()
        h.zero_()
        h += y
        h[h < 1.1] = 0.5
        return h.mul_(torch.sigmoid(h))


def image(*layers):
    return nn.Sequential(*layers).eval(), torch.randn(3, 2, 6, 6)


def sequence(model, width=8):
    return model.eval(), torch.randn(3, 5, width)


MODELS = {
    "mlp": lambda: (nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4), nn.GELU()), torch.randn(3, 5)),
    "residual": lambda: image(Residual()),
    "relu_then_max_pool": lambda: image(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
    "group_norm": lambda: image(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.AvgPool2d(2)),
    "instance_norm": lambda: image(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.Tanh()),
    "rms_norm": lambda: (nn.Sequential(nn.Linear(5, 6), nn.RMSNorm(6)), torch.randn(3, 5)),
    "local_response_norm": lambda: image(nn.Conv2d(2, 4, 3), nn.LocalResponseNorm(2)),
    "glu": lambda: (nn.Sequential(nn.Linear(5, 6), nn.GLU()), torch.randn(3, 5)),
    "attention": lambda: sequence(Attention()),
    "transformer": lambda: sequence(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")),
    "norm_first": lambda: sequence(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)),
    "decoder": lambda: sequence(Decoder()),
    "in_place": lambda: (InPlace(), torch.randn(3, 5)),
    "unet": lambda: image(UNet()),
    "factorisation": lambda: (Factorisation(), torch.randn(3, 5)),
    "graph": lambda: (Graph(), torch.randn(3, 4, 2)),
    "wavenet": lambda: (WaveNet(), torch.randn(3, 2, 16)),
}


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
        return self.inner(x, x, x.sin(), attn_mask=mask, average_attn_weights=False)[0]


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        return self.inner(x, x.exp(), tgt_is_causal=True, tgt_mask=nn.Transformer.generate_square_subsequent_mask(5))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(2, 4, 3, 2, 1), nn.ConvTranspose2d(4, 2, 2, 2)
        self.out = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        h = F.elu(self.down(x), inplace=True)
        return self.out(torch.cat([x, F.interpolate(F.leaky_relu(self.up(h)), x.shape[2:], mode="bilinear")], 1)).tanh()


class Factorisation(nn.Module):
    def __init__(self):
        super().__init__()
        self.factors = nn.Parameter(torch.randn(5, 3))

    def forward(self, x):
        return 0.5 * ((x @ self.factors) ** 2 - x**2 @ self.factors**2)


class Graph(nn.Module):
    def forward(self, x):
        edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])
        messages = torch.zeros_like(x).index_add(1, edges[1], x[:, edges[0]].tanh())
        return messages.amax(1) * x.softmax(1).mean(1)


class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(2, 4, 2, dilation=d) for d in (1, 2))

    def forward(self, x):
        for conv in self.convs:
            a, b = conv(F.pad(x, (conv.dilation[0], 0))).chunk(2, 1)
            x = x + torch.tanh(a) * torch.sigmoid(b)
        return x


@pytest.mark.parametrize("name", MODELS)
def test_complete(name):
    model, x = MODELS[name]()
    assert incompleteness(model, x) < 1e-12
    _, result = lifted(model, x)
    assert result.certificate.unknown == ()
    assert result.certificate.switches == ()
    assert result.certificate.lost == 0.0


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_equals_its_examples(name):
    model, x = MODELS[name]()
    baselines, together = lifted(model, x)
    alone = [lifted(model, x[i : i + 1], baselines=(baselines[0][i : i + 1],))[1].multipliers[0] for i in range(len(x))]
    torch.testing.assert_close(together.multipliers[0], torch.cat(alone), rtol=1e-10, atol=1e-12)


def test_training_batch_norm_mixes_examples_and_is_complete_in_total():
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh())
    assert incompleteness(model, torch.randn(6, 5), total=True) < 1e-13


def test_dropout_draws_the_same_masks_in_both_passes():
    model = nn.Sequential(nn.Linear(5, 40), nn.Dropout(0.5), nn.Tanh(), nn.Linear(40, 3))
    assert incompleteness(model, torch.randn(3, 5)) < 1e-13


def test_several_inputs_and_structured_outputs():
    def model(a, b):
        return {"logits": (a.exp() * b.sum(1, keepdim=True), None)}

    assert incompleteness(model, torch.randn(3, 4), torch.randn(3, 2), select=lambda o: o["logits"][0][:, 1]) < 1e-13


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype):
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4), nn.Softmax(1)).to(dtype)
    x = torch.randn(3, 8).to(dtype)
    baselines = ((0.1 + 0.7 * torch.randn(3, 8)).to(dtype),)
    _, result = lifted(model, x, baselines=baselines, select=lambda y: y[:, 0].float())
    attributed = (result.multipliers[0].float() * (x - baselines[0]).float()).sum(1)
    difference = result.outputs - result.reference_outputs
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    assert float((attributed - difference).abs().max() / difference.abs().max()) < tolerance
    assert result.multipliers[0].dtype == dtype


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_autocast(rule):
    layers = [nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 16), nn.Softplus(), nn.LayerNorm(16), nn.Linear(16, 4)]
    model = nn.Sequential(*layers, nn.Softmax(1)).float()
    x, start = torch.randn(3, 8, dtype=torch.float32), torch.randn(3, 8, dtype=torch.float32)

    def run(z):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = model(z)
            return (h.unsqueeze(2) @ h.unsqueeze(1)).sum(2).float() + h.float() ** 2

    _, result = lifted(run, x, baselines=(start,), select=lambda y: y[:, 0], rule=rule)
    attributed = (result.multipliers[0] * (x - start)).sum(1)
    difference = result.outputs - result.reference_outputs
    assert float((attributed - difference).abs().max() / difference.abs().max()) < 3e-2
