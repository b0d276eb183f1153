"""What a page starts with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid._core.checks import accept_choice, accept_keywords, accept_texts, shown
from pellucid.errors import invalid_type, invalid_value
from pellucid.registry import method_named

PREDICTIONS = ("all", "correct", "incorrect")
"""Which predictions can be asked for."""
MAX_EXAMPLES = 10_000
"""Examples that are read from a data set unless more are asked for."""


@dataclass(frozen=True)
class FilterConfig:
    """Which examples are explained, and how.

    Example:
        >>> FilterConfig(attribution_method="saliency", prediction="incorrect").num_examples
        4

    Args:
        attribution_method: a name in ``pellucid.methods()``.
        attribution_arguments: arguments of the method that differ from its defaults.
        prediction: ``"all"``, ``"correct"`` or ``"incorrect"``.
        classes: names of the true classes; none means all.
        num_examples: how many are explained by ``visualize`` and shown in a file.

    Raises:
        InvalidValueError: for a method or a prediction that there is not, or fewer than one example.
    """

    attribution_method: str = "integrated_gradients"
    attribution_arguments: Mapping[str, Any] = field(default_factory=dict)
    prediction: str = "all"
    classes: Sequence[str] = ()
    num_examples: int = 4

    def __post_init__(self) -> None:
        """Check the choices."""
        method_named(self.attribution_method)
        accept_choice("prediction", self.prediction, PREDICTIONS, "there is no such choice")
        object.__setattr__(self, "classes", accept_texts("classes", self.classes, "each class has a name"))
        own = accept_keywords("attribution_arguments", self.attribution_arguments)
        object.__setattr__(self, "attribution_arguments", own)
        check_amount("num_examples", self.num_examples)


@dataclass(frozen=True)
class PageConfig:
    """A page before anybody has chosen something on it.

    Example:
        >>> PageConfig("Digits").filter.attribution_method
        'integrated_gradients'

    Args:
        title: its heading.
        filter: which examples are shown first, and how they are explained.
        max_examples: how many are read from the data set at most.

    Raises:
        InvalidTypeError: for a title that is no text.
        InvalidValueError: for fewer than one example.
    """

    title: str = "Pellucid Insights"
    filter: FilterConfig = field(default_factory=FilterConfig)
    max_examples: int = MAX_EXAMPLES

    def __post_init__(self) -> None:
        """Check the title and the number."""
        if not isinstance(self.title, str):
            raise invalid_type("title", repr(self.title), "it is a heading", "a text")
        chosen: object = self.filter
        if not isinstance(chosen, FilterConfig):
            given = f"a {type(chosen).__name__}"
            raise invalid_type("filter", given, "it says which examples are shown", "a FilterConfig")
        check_amount("max_examples", self.max_examples)


def check_amount(name: str, value: Any) -> None:
    """Refuse what is no number of examples."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise invalid_value(name, shown(value), "it is a number of examples", "1 or more")
