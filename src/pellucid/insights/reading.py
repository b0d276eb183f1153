"""The door for JSON: from the bytes of a request to the dataclass of its route. Needs pydantic."""

from __future__ import annotations

import functools
import math
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pellucid.errors import InvalidValueError
from pellucid.insights.asking import BODIES, ExportBody, Question


@functools.cache
def reader(route: str) -> TypeAdapter[Any]:
    """Return what reads the bodies of a route; its ``json_schema()`` says what may be asked."""
    return TypeAdapter(BODIES[route])


def read_body(route: str, content: str | bytes) -> Any:
    """Read the JSON of a request.

    Example:
        >>> read_body("thumbnails", '{"examples": [3, 4]}')
        ThumbnailsBody(examples=(3, 4))

    Args:
        route: a key of ``BODIES``.
        content: JSON text.

    Returns:
        The body.

    Raises:
        InvalidValueError: if the text is no JSON, or not what the route takes; the message names each place.
    """
    try:
        body = reader(route).validate_json(content)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, e['loc'])) or 'the request'}: {e['msg']}" for e in error.errors()[:4]]
        raise InvalidValueError(f"The request cannot be read: {'; '.join(found)}.") from None
    question = body.question if isinstance(body, ExportBody) else body
    if isinstance(question, Question) and not _is_finite(dict(question.arguments)):
        raise InvalidValueError("The request cannot be read: a number among the arguments is not finite.")
    return body


def _is_finite(value: Any) -> bool:
    """Tell whether all numbers in nested JSON values are finite."""
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)
