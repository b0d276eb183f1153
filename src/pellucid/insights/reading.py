"""The door for JSON: from the bytes of a request to the dataclass of its route. Needs pydantic."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pellucid.errors import InvalidValueError
from pellucid.insights.asking import BODIES


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
        return reader(route).validate_json(content)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, e['loc'])) or 'the request'}: {e['msg']}" for e in error.errors()[:4]]
        raise InvalidValueError(f"The request cannot be read: {'; '.join(found)}.") from None
