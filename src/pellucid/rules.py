"""Rules of your own: for an operation, a module or a ``torch.autograd.Function`` of your model.

Rule-based methods (``DeepLift``, ``DeepLiftShap``) know the operations of torch. What they cannot know is said with
``choices=Choices(...)``:

* ``Choices(rules={"name": rule})`` gives a rule to an operation by its canonical name, as certificates print it;
* ``Choices(functions={MyFunction: rule})`` gives one to an autograd function; ``None`` trusts its own backward;
* ``Choices(override=by_module(model, {"encoder.act": rule, nn.Dropout: rule}))`` chooses by module;
* ``visible("unary")`` declares what kind of operation a Python function of yours is.

Example:
    >>> import torch
    >>> from pellucid.attr import DeepLift
    >>> from pellucid.rules import NATIVE, Choices
    >>> x = torch.tensor([[2.0]])
    >>> DeepLift(lambda v: torch.exp(v).sum(1)).attribute(x)  # exp(2) - exp(0)
    tensor([[6.3891]])
    >>> plain = Choices(rules={"exp": NATIVE})  # the gradient of exp instead of its rule: 2 exp(2), not complete
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     DeepLift(lambda v: torch.exp(v).sum(1)).attribute(x, choices=plain)
    tensor([[14.7781]])
"""

from pellucid._core.rules import (
    NATIVE,
    Certificate,
    Choices,
    Occurrence,
    OperationReport,
    Rule,
    by_module,
    visible,
)

__all__ = ["NATIVE", "Certificate", "Choices", "Occurrence", "OperationReport", "Rule", "by_module", "visible"]
