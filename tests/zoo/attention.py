"""Attention in all the spellings of PyTorch, without any library around it."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .entry import ZooModel, entry, logit

FAMILY = "attention"
LENGTH, WIDTH, HEADS = 5, 16, 4
SEQUENCE = (LENGTH, WIDTH)


def split(x: Tensor, heads: int = HEADS) -> Tensor:
    """(batch, length, width) to (batch, heads, length, width / heads)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class SelfAttention(nn.Module):
    """Projections around any function of split queries, keys and values."""

    def __init__(self, attend: Callable[..., Tensor], key_heads: int = HEADS):
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key, self.value = (nn.Linear(WIDTH, WIDTH * key_heads // HEADS) for _ in range(2))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.attend, self.key_heads = attend, key_heads

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.attend(
            split(self.query(x)), split(self.key(x), self.key_heads), split(self.value(x), self.key_heads)
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, attention: nn.Module):
        super().__init__()
        self.norm_one, self.norm_two = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = attention
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_one(x))
        return x + self.mlp(self.norm_two(x))


class Classifier(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body, self.head = body, nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[:, -1])


def einsum_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.einsum("bhid,bhjd->bhij", q, k).mul(q.shape[-1] ** -0.5).softmax(-1)
    return torch.einsum("bhij,bhjd->bhid", weights, v)


def masked_matmul(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    future = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(future, float("-inf"))
    return F.softmax(scores, dim=-1) @ v


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def sdpa_causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.4)


def sdpa_boolean(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mask = (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).abs() <= 1
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def sdpa_additive(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The additive mask depends on the input as well."""
    mask = -(torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).abs() * k.mean((1, 2, 3), True).square()
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def sdpa_grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def rotate(x: Tensor) -> Tensor:
    """Rotary positions: the two halves of a head turn by an angle that grows with the position."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * 100.0 ** -(torch.arange(half, dtype=x.dtype) / half)
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def rotary(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return sdpa_causal(rotate(q), rotate(k), v)


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k = F.elu(q) + 1, F.elu(k) + 1
    context = torch.einsum("bhld,bhle->bhde", k, v)
    scale = 1 / torch.einsum("bhld,bhd->bhl", q, k.sum(-2))
    return torch.einsum("bhld,bhde,bhl->bhle", q, context, scale)


def cosine_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = 8 * F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2)
    return scores.softmax(-1) @ v


def retention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    distance = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)
    decay = torch.where(distance >= 0, 0.8 ** distance.clamp(min=0), torch.zeros(())).to(q.dtype)
    return F.normalize((q @ k.mT * decay) @ v, dim=-1, p=1.0)


class RelativeBias(nn.Module):
    """T5: no scaling, a learned bias per distance."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.bias = nn.Embedding(2 * LENGTH - 1, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split(part) for part in self.qkv(x).chunk(3, -1))
        positions = torch.arange(x.shape[1])
        bias = self.bias(positions[None] - positions[:, None] + LENGTH - 1).permute(2, 0, 1)
        scores = torch.matmul(q, k.transpose(3, 2))
        scores += bias
        weights = F.softmax(scores.float(), dim=-1).type_as(scores)
        return self.out(torch.matmul(weights, v).transpose(1, 2).contiguous().view(x.shape))


class MultiHead(nn.Module):
    def __init__(self, need_weights: bool, **options):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        mixed, weights = self.attention(x, x, x, need_weights=self.need_weights)
        return mixed if weights is None else mixed + weights.sum(1)[..., None] * x


class CrossAttention(nn.Module):
    """Queries, keys and values of different widths, a mask and padding, time first."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, kdim=6, vdim=6, add_bias_kv=True)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        memory = memory.transpose(0, 1)
        padding = torch.zeros(x.shape[0], memory.shape[0], dtype=torch.bool)
        padding[0, -1] = True
        mixed, _ = self.attention(x.transpose(0, 1), memory, memory, key_padding_mask=padding)
        return self.head(mixed.sigmoid().mean(0))


def encoder(**options) -> nn.Module:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=True, **options)
    return Classifier(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))


def decode(model: nn.Module, target: Tensor, memory: Tensor) -> Tensor:
    mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], dtype=target.dtype)
    return model(target, memory, tgt_mask=mask)


def decoder() -> nn.Module:
    layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 32, batch_first=True, activation="gelu")
    return nn.TransformerDecoder(layer, 2, norm=nn.LayerNorm(WIDTH))


def transformer() -> nn.Module:
    return nn.Transformer(WIDTH, HEADS, 1, 1, 32, norm_first=True, batch_first=True)


class PerceiverLike(nn.Module):
    """Learned queries read the input, two rounds."""

    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(1, 3, WIDTH))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.head = nn.Linear(3 * WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        latents = self.latents.expand(x.shape[0], -1, -1)
        for _ in range(2):
            latents = latents + self.attention(latents, x, x, need_weights=False)[0]
        return self.head(torch.tanh(latents.flatten(1)))


def hopfield(model: nn.Module, x: Tensor) -> Tensor:
    """Energy of a modern Hopfield net: a logsumexp of similarities and a square."""
    return x.square().sum(-1) / 2 - torch.logsumexp(2 * model(x), -1)


def _entries() -> tuple[ZooModel, ...]:
    functions = (
        einsum_attention,
        masked_matmul,
        sdpa,
        sdpa_causal,
        sdpa_boolean,
        sdpa_additive,
        rotary,
        linear_attention,
        cosine_attention,
        retention,
    )
    spelled = (
        entry(
            f"attention_{f.__name__}",
            FAMILY,
            lambda f=f: Classifier(Block(SelfAttention(f))),
            SEQUENCE,
            gain=1.4,
        )
        for f in functions
    )
    bodies = {
        "attention_sdpa_grouped": lambda: Block(SelfAttention(sdpa_grouped, key_heads=2)),
        "multihead_weights": lambda: MultiHead(True),
        "multihead_fused": lambda: nn.Sequential(MultiHead(False), nn.Tanh(), MultiHead(False, bias=False)),
    }
    return (
        *spelled,
        *(entry(k, FAMILY, lambda v=v: Classifier(v()), SEQUENCE, gain=1.4) for k, v in bodies.items()),
        entry(
            "attention_relative_bias",
            FAMILY,
            lambda: Classifier(Block(RelativeBias())),
            SEQUENCE,
            float32_islands=True,
        ),
        entry("multihead_cross", FAMILY, CrossAttention, SEQUENCE, (7, 6), gain=1.4, coupled=True),
        entry("transformer_encoder", FAMILY, encoder, SEQUENCE, gain=1.4, select=logit(0)),
        entry(
            "transformer_encoder_norm_first",
            FAMILY,
            lambda: encoder(norm_first=True, activation="gelu"),
            SEQUENCE,
            gain=1.4,
        ),
        entry("transformer_decoder", FAMILY, decoder, SEQUENCE, (4, WIDTH), call=decode, gain=1.4),
        entry("transformer", FAMILY, transformer, SEQUENCE, (4, WIDTH), gain=1.4),
        entry("perceiver_like", FAMILY, PerceiverLike, SEQUENCE, gain=1.4),
        entry(
            "hopfield_energy",
            FAMILY,
            lambda: nn.Linear(WIDTH, 6),
            (WIDTH,),
            call=hopfield,
            select=lambda y: y,
        ),
    )


ENTRIES = _entries()
