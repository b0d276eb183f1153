"""Every argument of a model as a layer, so that layer methods explain inputs beside layers."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from pellucid.errors import invalid_type, invalid_value

_FREE = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class ModelInputWrapper(nn.Module):
    """Sends every argument of a model through a layer that does nothing: ``input_maps[name]``.

    Law: the wrapped model returns what the model returns. A list of such layers and of others, embeddings say, is
    explained along one path by ``LayerIntegratedGradients``.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerIntegratedGradients, ModelInputWrapper
        >>> class Net(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.table = torch.nn.Embedding(5, 2).double()
        ...
        ...     def forward(self, category, amount):
        ...         return (self.table(category) * amount).sum(1)
        >>> net = ModelInputWrapper(Net())
        >>> inputs = torch.tensor([1, 4]), torch.tensor([[2.0], [3.0]], dtype=torch.float64)
        >>> layers = [net.module.table, net.input_maps["amount"]]
        >>> parts = LayerIntegratedGradients(net, layers).attribute(inputs, (0, 0.0))
        >>> total = parts[0].sum(1) + parts[1].sum(1)
        >>> torch.allclose(total, net(*inputs) - net(0 * inputs[0], 0 * inputs[1]))
        True

    Attributes:
        module: the model.
        input_maps: a layer for each argument, by name.
    """

    def __init__(self, module_to_wrap: nn.Module) -> None:
        """Wrap a model; it is not changed.

        Args:
            module_to_wrap: the model; arguments that its forward method takes by a free list (``*args``, ``**kwargs``)
                have no name and get no layer.

        Raises:
            InvalidTypeError: if this is no module.
            InvalidValueError: if an argument has a name that no layer can have.
        """
        super().__init__()
        if not isinstance(module_to_wrap, nn.Module):
            raise invalid_type("module_to_wrap", f"a {type(module_to_wrap).__name__}", "it is no model", "a module")
        self.module = module_to_wrap
        self._signature = inspect.signature(module_to_wrap.forward)
        names = [name for name, p in self._signature.parameters.items() if p.kind not in _FREE]
        wrong = [name for name in names if hasattr(nn.ModuleDict(), name)]
        if wrong:
            raise invalid_value(
                "module_to_wrap",
                f"a model with an argument {wrong[0]!r}",
                "no layer of a torch.nn.ModuleDict can have this name",
                "a module whose forward method calls it otherwise",
            )
        self.arg_name_list = names
        self.input_maps = nn.ModuleDict({name: nn.Identity() for name in names})
        self.training = module_to_wrap.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model.

        Args:
            *args: its arguments by position.
            **kwargs: its arguments by keyword.

        Returns:
            What it returns.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.arguments.update({n: self.input_maps[n](v) for n, v in bound.arguments.items() if n in self.input_maps})
        return self.module(*bound.args, **bound.kwargs)
