"""Small visualizers of every kind of feature, and a way to ask their desks."""

import torch
from torch import nn

from pellucid.insights import (
    AttributionVisualizer,
    Batch,
    EmptyFeature,
    GeneralFeature,
    ImageFeature,
    TextFeature,
    TimeSeriesFeature,
)
from pellucid.insights.asking import BODIES
from pellucid.insights.line import Line

WORDS = ["[PAD]", "[CLS]", "the", "film", "was", "fine", "dull", "very", "un", "##kind"]


class Tokenizer:
    """A tokenizer of ten words."""

    pad_token_id, cls_token_id, unk_token_id, mask_token_id = 0, 1, None, None
    sep_token_id = bos_token_id = eos_token_id = None
    all_special_ids = (0, 1)

    def convert_ids_to_tokens(self, ids):
        return [WORDS[i] for i in ids]

    def encode(self, text, add_special_tokens=True):
        found = []
        for word in text.split():
            found += [8, 9] if word == "unkind" else [WORDS.index(word)] if word in WORDS else []
        return found


def seeded(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*[make() for make in layers]).double().eval()


def images(count=10, **options):
    model = network(
        lambda: nn.Conv2d(1, 3, 3), nn.ReLU, nn.Flatten, lambda: nn.Linear(48, 3)
    )  # made after the seed is set
    data = [Batch(seeded(5, 1, 6, 6, seed=i), torch.tensor([0, 1, 2, 0, 1])) for i in range(count // 5)]
    feature = ImageFeature("scan", baseline_transforms=[halved], input_transforms=[doubled])
    return AttributionVisualizer(model, ["a", "b", "c"], feature, data, **options)


def halved(x):
    return x / 2


def doubled(x):
    return 2 * x


class Bag(nn.Module):
    """A model of ids that ignores padding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(WORDS), 4)
        self.head = nn.Linear(4, 2)
        self.double()

    def forward(self, ids):
        mask = (ids != 0)[..., None]
        return self.head(torch.tanh((self.embedding(ids) * mask).sum(1)))


def texts():
    ids = torch.tensor([[1, 2, 3, 4, 5, 0, 0], [1, 2, 3, 4, 6, 0, 0], [1, 3, 4, 7, 5, 0, 0]])
    data = [Batch(ids, torch.tensor([1, 0, -1]))]
    return AttributionVisualizer(Bag().eval(), ["bad", "good"], TextFeature("review", tokenizer=Tokenizer()), data)


def series():
    model = network(nn.Flatten, lambda: nn.Linear(16, 4), nn.Tanh, lambda: nn.Linear(4, 1))
    feature = TimeSeriesFeature("beat", channels=["lead"], channel_axis=1)
    data = [Batch(torch.cat([seeded(3, 8, 2), -seeded(3, 8, 2, seed=1)]), None)]
    return AttributionVisualizer(model, [], feature, data)


class Both(nn.Module):
    """A model of an image, a row and something else, with a further argument."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.image, self.row, self.rest = nn.Linear(16, 4), nn.Linear(3, 4), nn.Linear(2, 4)
        self.head = nn.Linear(4, 2)
        self.double()

    def forward(self, image, row, rest, shift):
        mixed = self.image(image.flatten(1)) + self.row(row) + self.rest(rest)
        return self.head(torch.tanh(mixed)) + shift[:, None]


def several():
    inputs = (seeded(4, 1, 4, 4), seeded(4, 3, seed=1), seeded(4, 2, seed=2))
    features = [ImageFeature("scan"), GeneralFeature("row", ["age", "dose", "sex"]), EmptyFeature("rest")]
    data = [Batch(inputs, torch.tensor([0, 1, 0, 1]), additional_args=(seeded(4, seed=3),))]
    return AttributionVisualizer({"first": Both().eval(), "second": Both().eval()}, ["no", "yes"], features, data)


SHOWS = {"images": images, "texts": texts, "series": series, "several": several}


def ask(desk, route, cancelled=lambda: False, **body):
    """Return the events of an answer."""
    events = []
    desk.answer(route, BODIES[route](**body), Line(events.append, cancelled))
    return events
