"""Interpretable models: what a local surrogate can be.

``Lasso`` and ``LeastSquares`` are fitted to all examples at once, and their penalties are relative to the scale of the
outputs. The others are fitted to one example after the other, with penalties in the units of the outputs: models of
scikit-learn (``SkLearn...``) and linear ones that are trained by gradient steps (``SGD...``). ``Model`` is the
interface for models of one's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pellucid._core.surrogate import Lasso, LeastSquares
from pellucid.errors import invalid_value

__all__ = [
    "Lasso",
    "LeastSquares",
    "LinearModel",
    "Model",
    "SGDLasso",
    "SGDLinearModel",
    "SGDLinearRegression",
    "SGDRidge",
    "SkLearnLasso",
    "SkLearnLinearModel",
    "SkLearnLinearRegression",
    "SkLearnLogisticRegression",
    "SkLearnRidge",
    "SkLearnSGDClassifier",
]


class Model(ABC):
    """Interface of an interpretable model."""

    @abstractmethod
    def fit(self, train_data: DataLoader[Any], **kwargs: Any) -> dict[str, Any] | None:
        """Fit the model.

        Args:
            train_data: yields ``(x, y)`` or ``(x, y, weights)``: shapes (rows, features), (rows, ...), (rows,).
            **kwargs: settings of the fit.

        Returns:
            What is to be said about the fit, if anything.
        """

    @abstractmethod
    def representation(self) -> Tensor:
        """Give what explains: the coefficients, shape (1, features) or (outputs, features)."""

    @abstractmethod
    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Predict: shape (rows, features) to (rows, outputs)."""


class LinearModel(Model):
    """A linear model that a function trains.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> from pellucid.attr.models import SkLearnLinearRegression
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> model = SkLearnLinearRegression()
        >>> _ = model.fit(DataLoader(TensorDataset(x, x @ torch.tensor([2.0, 3.0])), batch_size=3))
        >>> torch.allclose(model.representation(), torch.tensor([[2.0, 3.0]]))
        True
    """

    def __init__(self, train_fn: Callable[..., tuple[Tensor, Tensor | None]], **kwargs: Any) -> None:
        """Make an untrained model.

        Args:
            train_fn: takes ``(train_data, **settings)`` and returns weights, shape (outputs, features), and biases,
                shape (outputs,), or ``None``.
            **kwargs: settings that ``fit`` passes on.
        """
        self.train_fn = train_fn
        self.settings = kwargs
        self.weight: Tensor | None = None
        self.intercept: Tensor | None = None

    def fit(self, train_data: DataLoader[Any], **kwargs: Any) -> dict[str, Any] | None:
        """Train the model; settings given here go before those it was made with."""
        self.weight, self.intercept = self.train_fn(train_data, **{**self.settings, **kwargs})
        return None

    def representation(self) -> Tensor:
        """Give the coefficients, shape (outputs, features)."""
        return self._trained()

    def bias(self) -> Tensor | None:
        """Give the intercepts, shape (outputs,), if there are any."""
        self._trained()
        return self.intercept

    def classes(self) -> Tensor | None:
        """Give the classes of a classifier: none here."""
        return None

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Predict by the linear function, shape (rows, outputs)."""
        del args, kwargs
        predicted = x @ self._trained().T.to(x)
        return predicted if self.intercept is None else predicted + self.intercept.to(x)

    def _trained(self) -> Tensor:
        if self.weight is None:
            raise invalid_value("interpretable_model", "not trained", "it has no coefficients yet", "a model after fit")
        return self.weight


# -- scikit-learn


class SkLearnLinearModel(LinearModel):
    """A linear model of scikit-learn, by the name of its class."""

    def __init__(self, sklearn_module: str, **kwargs: Any) -> None:
        """Make an untrained model.

        Args:
            sklearn_module: place of the class in scikit-learn, for example ``linear_model.Lasso``.
            **kwargs: arguments of the class.
        """
        super().__init__(self._train, **kwargs)
        self.sklearn_module = sklearn_module
        self._classes: Tensor | None = None

    def classes(self) -> Tensor | None:
        """Give the classes that a classifier was trained on."""
        return self._classes

    def _train(self, train_data: DataLoader[Any], **settings: Any) -> tuple[Tensor, Tensor | None]:
        import importlib  # noqa: PLC0415  (with what follows)

        module, _, name = self.sklearn_module.rpartition(".")
        estimator = getattr(importlib.import_module(f"sklearn.{module}"), name)(**settings)
        x, y, weights = _gathered(train_data)
        fitted = estimator.fit(x.double().cpu().numpy(), y.double().cpu().numpy(), sample_weight=_numpy(weights))
        if hasattr(fitted, "classes_"):
            self._classes = torch.as_tensor(fitted.classes_)
        coefficients = torch.as_tensor(fitted.coef_).to(x)
        return coefficients.reshape(-1, x.shape[1]), torch.as_tensor(fitted.intercept_).to(x).reshape(-1)


def _numpy(weights: Tensor | None) -> Any:
    return None if weights is None else weights.double().cpu().numpy()


class SkLearnLasso(SkLearnLinearModel):
    """``sklearn.linear_model.Lasso``: squares plus ``alpha`` times the absolute coefficients."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; the arguments are those of scikit-learn."""
        super().__init__("linear_model.Lasso", **kwargs)


class SkLearnRidge(SkLearnLinearModel):
    """``sklearn.linear_model.Ridge``: squares plus ``alpha`` times the squared coefficients."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; the arguments are those of scikit-learn."""
        super().__init__("linear_model.Ridge", **kwargs)


class SkLearnLinearRegression(SkLearnLinearModel):
    """``sklearn.linear_model.LinearRegression``: squares alone."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; the arguments are those of scikit-learn."""
        super().__init__("linear_model.LinearRegression", **kwargs)


class SkLearnLogisticRegression(SkLearnLinearModel):
    """``sklearn.linear_model.LogisticRegression``, for functions that return class labels."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; the arguments are those of scikit-learn."""
        super().__init__("linear_model.LogisticRegression", **kwargs)


class SkLearnSGDClassifier(SkLearnLinearModel):
    """``sklearn.linear_model.SGDClassifier``, for functions that return class labels."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; the arguments are those of scikit-learn."""
        super().__init__("linear_model.SGDClassifier", **kwargs)


# -- gradient steps


class SGDLinearModel(LinearModel):
    """A linear model trained by gradient steps on weighted squares."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model.

        Args:
            **kwargs: settings of the training: ``alpha`` (weight of the penalty), ``order`` (1 for absolute
                coefficients, 2 for squares), ``max_epoch``, ``initial_lr``, ``loss_fn`` (of outputs, targets and
                weights).
        """
        super().__init__(train_by_gradients, **kwargs)


class SGDLasso(SGDLinearModel):
    """Weighted squares plus ``alpha`` times the absolute coefficients, by gradient steps."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; see ``SGDLinearModel``."""
        super().__init__(**{"order": 1, "alpha": 0.01, **kwargs})


class SGDRidge(SGDLinearModel):
    """Weighted squares plus ``alpha`` times the squared coefficients, by gradient steps."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; see ``SGDLinearModel``."""
        super().__init__(**{"order": 2, "alpha": 0.01, **kwargs})


class SGDLinearRegression(SGDLinearModel):
    """Weighted squares alone, by gradient steps."""

    def __init__(self, **kwargs: Any) -> None:
        """Make an untrained model; see ``SGDLinearModel``."""
        super().__init__(**{"alpha": 0.0, **kwargs})


def weighted_squares(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of the squared differences, weighted by the rows' weights where there are any."""
    squares = (outputs - targets).square().mean(1)
    return squares.mean() if weights is None else (squares * weights).sum() / weights.sum()


def train_by_gradients(
    train_data: DataLoader[Any],
    alpha: float = 0.0,
    order: int = 2,
    max_epoch: int = 1000,
    initial_lr: float = 0.05,
    loss_fn: Callable[..., Tensor] = weighted_squares,
) -> tuple[Tensor, Tensor | None]:
    """Train a linear model by Adam, with a learning rate that falls to zero along a cosine.

    Args:
        train_data: as ``Model.fit`` takes it.
        alpha: weight of the penalty.
        order: its norm: 1 or 2 (squared).
        max_epoch: passes through the data.
        initial_lr: learning rate of the first one.
        loss_fn: of outputs, targets and weights.

    Returns:
        Weights, shape (outputs, features), and biases, shape (outputs,).
    """
    first = next(iter(train_data))
    x, y = first[0], first[1].reshape(len(first[1]), -1)
    with torch.enable_grad():
        weight = torch.zeros(y.shape[1], x.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
        bias = torch.zeros(y.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
        optimizer = torch.optim.Adam([weight, bias], lr=initial_lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max_epoch)
        for _ in range(max_epoch):
            for batch in train_data:
                targets = batch[1].reshape(len(batch[1]), -1)
                loss = loss_fn(nn.functional.linear(batch[0], weight, bias), targets, *batch[2:])
                penalty = weight.abs().sum() if order == 1 else weight.square().sum()
                optimizer.zero_grad()
                torch.autograd.backward(loss + alpha * penalty)
                optimizer.step()
            schedule.step()
    return weight.detach(), bias.detach()


def _gathered(train_data: DataLoader[Any]) -> tuple[Tensor, Tensor, Tensor | None]:
    batches = list(train_data)
    x, y = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])
    return x, y, torch.cat([b[2] for b in batches]) if len(batches[0]) > 2 else None
