"""Embeddings taken out of a model, so that vectors instead of ids are its inputs.

The model is changed until the embedding is put back. ``pellucid.embed`` does without that, and ``pellucid.explain``
takes ids as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core.checks import LARGEST, accept_text, shown
from pellucid.errors import PellucidError, invalid_type, invalid_value


class InterpretableEmbeddingBase(nn.Module):
    """Stands in a model in the place of an embedding and passes on vectors that were looked up before.

    Law: a model with this in the place of ``embedding``, given ``indices_to_embeddings(ids)``, returns what it returned
    for ``ids``.

    Example:
        >>> import torch
        >>> from pellucid.attr import InterpretableEmbeddingBase
        >>> table = torch.nn.Embedding(5, 3)
        >>> stand_in = InterpretableEmbeddingBase(table, "table")
        >>> vectors = stand_in.indices_to_embeddings(torch.tensor([[1, 4]]))
        >>> stand_in(vectors) is vectors, torch.equal(vectors[0, 1], table.weight[4])
        (True, True)
    """

    def __init__(self, embedding: nn.Module, full_name: str) -> None:
        """Keep an embedding.

        Args:
            embedding: the module that looks vectors up.
            full_name: its dotted name in the model.

        Raises:
            InvalidTypeError: if the embedding is no module.
        """
        super().__init__()
        if not isinstance(embedding, nn.Module):
            raise invalid_type("embedding", f"a {type(embedding).__name__}", "it looks nothing up", "a torch.nn.Module")
        self.embedding = embedding
        self.full_name = accept_text("full_name", full_name, "it is found in the model by it")
        self.training = embedding.training

    @property
    def weight(self) -> Any:
        """The embedding's vectors, for models that use them elsewhere too."""
        return self.embedding.weight

    def forward(self, *inputs: Any, **kwargs: Any) -> Tensor:
        """Return the vectors that are given in the place of ids.

        Args:
            *inputs: what the model passes to its embedding; the first is taken.
            **kwargs: the same by keyword, where nothing is passed by position.

        Returns:
            The vectors.

        Raises:
            InvalidTypeError: if these are no vectors.
        """
        given = next(iter((*inputs, *kwargs.values())), None)
        if not isinstance(given, Tensor) or not given.is_floating_point():
            held = f"a tensor of dtype {given.dtype}" if isinstance(given, Tensor) else f"a {type(given).__name__}"
            raise invalid_type(
                f"the input of {self.full_name}",
                held,
                "the embedding is taken out of the model, which takes vectors in the place of ids",
                "indices_to_embeddings(ids), or put the embedding back with remove_interpretable_embedding_layer",
            )
        return given

    def indices_to_embeddings(self, *input: Any, **kwargs: Any) -> Tensor:  # noqa: A002  (the established name)
        """Look vectors up.

        Args:
            *input: what the embedding takes: ids.
            **kwargs: further arguments of the embedding.

        Returns:
            Vectors of shape (..., D) for ids of shape (...).
        """
        found: Tensor = self.embedding(*input, **kwargs)
        return found


def configure_interpretable_embedding_layer(
    model: nn.Module, embedding_layer_name: str = "embedding"
) -> InterpretableEmbeddingBase:
    """Take an embedding out of a model, so that the model takes its vectors in the place of ids.

    The model stays changed until ``remove_interpretable_embedding_layer`` is called.

    Example:
        >>> import torch
        >>> from pellucid import attr
        >>> class Net(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.embedding = torch.nn.Embedding(7, 3)
        ...
        ...     def forward(self, ids):
        ...         return self.embedding(ids).prod(1).sum(1)
        >>> net, ids = Net(), torch.tensor([[1, 5]])
        >>> before = net(ids)
        >>> taken = attr.configure_interpretable_embedding_layer(net)
        >>> vectors = taken.indices_to_embeddings(ids)
        >>> attributions = attr.IntegratedGradients(net).attribute(vectors)
        >>> attr.remove_interpretable_embedding_layer(net, taken)
        >>> attributions.shape, torch.equal(net(ids), before)
        (torch.Size([1, 2, 3]), True)

    Args:
        model: the model.
        embedding_layer_name: dotted name of the embedding in it.

    Returns:
        What stands in the embedding's place and looks vectors up.

    Raises:
        InvalidTypeError: if the model is no module.
        InvalidValueError: if there is no such module, or the embedding is taken out already.
    """
    if not isinstance(model, nn.Module):
        raise invalid_type("model", f"a {type(model).__name__}", "it holds no modules", "a torch.nn.Module")
    found = _found(model, accept_text("embedding_layer_name", embedding_layer_name, "it names a module"))
    if found is None:
        names = [n for n, m in model.named_modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
        raise _no_layer(embedding_layer_name, f"one of {', '.join(names)}" if names else "the name of a module in it")
    if isinstance(found, InterpretableEmbeddingBase):
        raise invalid_value(
            "embedding_layer_name",
            repr(embedding_layer_name),
            "this embedding is taken out of the model already",
            "it to remove_interpretable_embedding_layer first, or use what was returned then",
        )
    stand_in = InterpretableEmbeddingBase(found, embedding_layer_name)
    _put(model, embedding_layer_name, stand_in)
    return stand_in


def remove_interpretable_embedding_layer(model: nn.Module, interpretable_emb: InterpretableEmbeddingBase) -> None:
    """Put an embedding back that ``configure_interpretable_embedding_layer`` took out of a model.

    Args:
        model: the model.
        interpretable_emb: what was returned then.

    Raises:
        InvalidTypeError: if this is something else.
        InvalidValueError: if it does not stand in the model.
    """
    if not isinstance(interpretable_emb, InterpretableEmbeddingBase):
        raise invalid_type(
            "interpretable_emb",
            f"a {type(interpretable_emb).__name__}",
            "it stands for no embedding",
            "what configure_interpretable_embedding_layer returned",
        )
    if not isinstance(model, nn.Module) or _found(model, interpretable_emb.full_name) is not interpretable_emb:
        raise invalid_value(
            "interpretable_emb",
            f"that of {interpretable_emb.full_name!r}",
            "it does not stand in this model",
            "the model and the return value of one configure_interpretable_embedding_layer call, once",
        )
    _put(model, interpretable_emb.full_name, interpretable_emb.embedding)


def _found(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name) if name else None
    except AttributeError:
        return None


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def _no_layer(name: str, instead: str) -> PellucidError:
    return invalid_value("embedding_layer_name", repr(name), "the model has no module of this name", instead)


class TokenReferenceBase:
    """Makes baselines of ids: one id, repeated.

    Example:
        >>> import torch
        >>> from pellucid.attr import TokenReferenceBase
        >>> TokenReferenceBase(reference_token_idx=3).generate_reference(4, torch.device("cpu"))
        tensor([3, 3, 3, 3])
    """

    def __init__(self, reference_token_idx: int = 0) -> None:
        """Choose the id.

        Args:
            reference_token_idx: the id, for example that of padding.
        """
        if isinstance(reference_token_idx, bool) or not isinstance(reference_token_idx, int):
            given = f"a {type(reference_token_idx).__name__}"
            raise invalid_type("reference_token_idx", given, "it is the id of a token", "an int")
        if abs(reference_token_idx) > LARGEST:
            raise invalid_value("reference_token_idx", shown(reference_token_idx), "no tensor holds it", "a token's id")
        self.reference_token_idx = reference_token_idx

    def generate_reference(self, sequence_length: int, device: torch.device) -> Tensor:
        """Repeat the id.

        Args:
            sequence_length: how often.
            device: where.

        Returns:
            Tensor of shape (sequence_length,).

        Raises:
            InvalidTypeError: if the length is no int.
            InvalidValueError: if it is negative.
        """
        if isinstance(sequence_length, bool) or not isinstance(sequence_length, int):
            given = f"a {type(sequence_length).__name__}"
            raise invalid_type("sequence_length", given, "it counts ids", "an int")
        if not 0 <= sequence_length <= LARGEST:
            raise invalid_value("sequence_length", shown(sequence_length), "it counts ids", "an int >= 0")
        if not isinstance(device, torch.device | str):
            raise invalid_type("device", f"a {type(device).__name__}", "the ids are put there", "a torch.device")
        return torch.full((sequence_length,), self.reference_token_idx, dtype=torch.long, device=device)
