"""Small curved models of ids, in float64, and small tokenizers that need no file."""

import torch
from torch import nn
from torch.nn import functional as F

DOUBLE = torch.float64


class Words(nn.Module):
    """A table for ids and one for positions; the rest is curved."""

    def __init__(self, count=12, width=4, classes=3, **options):
        super().__init__()
        self.table = nn.Embedding(count, width, **options)
        self.positions = nn.Embedding(16, width)
        self.last = nn.Linear(width, classes)

    def rest(self, vectors):
        """What comes after the tables of ids."""
        places = self.positions(torch.arange(vectors.shape[1]))[None]
        mixed = torch.tanh(vectors + places)
        return self.last((mixed * torch.sigmoid(mixed.roll(1, 1))).sum(1)).tanh()

    def forward(self, ids):
        return self.rest(self.table(ids))


class Twice(Words):
    """The same table for two inputs of different lengths."""

    def forward(self, question, answer):
        return self.rest(self.table(question)) * self.rest(self.table(answer)).flip(1)


class Table(nn.Module):
    """Columns of categories with a table each, beside numbers."""

    def __init__(self, sizes=(5, 3, 7), numbers=2):
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(size, 2 + i) for i, size in enumerate(sizes)])
        self.last = nn.Linear(sum(2 + i for i in range(len(sizes))) + numbers, 3)
        self.after = nn.Linear(3, 2)

    def forward(self, categories, numbers):
        columns = [table(categories[:, i]) for i, table in enumerate(self.tables)]
        return self.after(F.softplus(self.last(torch.cat([*columns, numbers], 1)).square()))


class Offsets(nn.Module):
    """Columns of categories in one table, one behind the other."""

    def __init__(self, sizes=(5, 3, 7)):
        super().__init__()
        self.table = nn.Embedding(sum(sizes), 3)
        self.register_buffer("offsets", torch.tensor([0, *torch.tensor(sizes).cumsum(0)[:-1].tolist()]))

    def forward(self, categories):
        return torch.tanh(self.table(categories + self.offsets)).prod(1).sum(1)


class Moving(nn.Module):
    """Brings ids to the table in other ways: steps first, flat, shifted behind a start of its own, converted."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.table = nn.Embedding(12, 4)

    def forward(self, ids):
        n, t = ids.shape
        if self.how == "steps first":
            vectors = self.table(ids.t()).transpose(0, 1)
        elif self.how == "flat":
            vectors = self.table(ids.reshape(-1)).view(n, t, -1)
        elif self.how == "shifted":
            moved = ids.new_zeros(n, t)
            moved[:, 1:] = ids[:, :-1].clone()
            moved[:, 0] = 2
            vectors = self.table(moved)
        elif self.how == "joined":
            vectors = self.table(torch.cat([ids.new_full((n, 1), 2), ids], 1))
        elif self.how == "backwards":
            vectors = self.table(ids.flip(1))
        elif self.how == "int32":
            vectors = self.table(ids.to(torch.int32))
        elif self.how == "masked":
            vectors = self.table(ids.masked_fill(ids == 3, 0))
        elif self.how == "hashed":
            vectors = self.table((ids * 7 + 3) % 12)
        elif self.how == "pieces":
            vectors = torch.cat([self.table(part) for part in ids.split(2, 1)], 1)
        elif self.how == "twice":
            vectors = self.table(ids) * self.table(ids).roll(1, 1).sigmoid()
        else:  # by keyword
            vectors = self.table(input=ids)
        return torch.tanh(vectors * vectors.roll(1, 1)).sum((1, 2))


HOW = [
    *("steps first", "flat", "shifted", "joined", "backwards", "int32", "masked", "hashed", "pieces", "twice"),
    "by keyword",
]


class Places(nn.Embedding):
    """Takes ids for their shape alone, and looks their positions up, as some models do."""

    def forward(self, ids):
        return super().forward(torch.arange(ids.shape[1]).expand(ids.shape))


class Placed(nn.Module):
    """A table of ids beside one of positions that is given the ids."""

    def __init__(self):
        super().__init__()
        self.table, self.places = nn.Embedding(12, 4), Places(12, 4)

    def forward(self, ids):
        return torch.tanh(self.table(ids) * self.places(ids)).sum((1, 2))


class Bags(nn.Module):
    """A bag of words."""

    def __init__(self, mode, padding_idx=None):
        super().__init__()
        self.bag = nn.EmbeddingBag(12, 4, mode=mode, padding_idx=padding_idx)
        self.last = nn.Linear(4, 2)

    def forward(self, ids, weights=None):
        return self.last(torch.tanh(self.bag(ids, per_sample_weights=weights)).square())


def made(model, seed=0):
    """Give a model weights that depend on the seed alone, in float64."""
    generator = torch.Generator().manual_seed(seed)
    model.to(DOUBLE)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=DOUBLE) * 0.7)
    return model.eval()


def ids_of(rows=3, length=5, count=12, seed=1, least=1):
    return torch.randint(least, count, (rows, length), generator=torch.Generator().manual_seed(seed))


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "dog", "is", "not", "good", "##s", "!", "b"]


def tokenizer(pad=True):
    """A word-piece tokenizer made in memory."""
    tokenizers = __import__("tokenizers")
    transformers = __import__("transformers")
    raw = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: i for i, w in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    raw.normalizer = tokenizers.normalizers.Lowercase()
    raw.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    raw.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    if pad:
        names["pad_token"] = "[PAD]"
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=16, **names)
    made.model_input_names = ["input_ids", "attention_mask"]
    return made


def bert(**options):
    transformers = __import__("transformers")
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=20, num_labels=3, attn_implementation="eager", **options,
    )  # fmt: skip
    return made(transformers.BertForSequenceClassification(config), 3)


def gpt2():
    transformers = __import__("transformers")
    config = transformers.GPT2Config(
        vocab_size=len(VOCABULARY), n_embd=8, n_layer=2, n_head=2, n_positions=20, num_labels=2, pad_token_id=0,
        attn_implementation="eager",
    )  # fmt: skip
    return made(transformers.GPT2ForSequenceClassification(config), 4)
