"""Who may ask, in which form: pure functions over the headers of a request.

The server listens on this computer only, but every page in the browser can send requests here. Three things keep them
out: the address that the request names must be one of this computer (a foreign name that was pointed here is refused),
a request made by a page must come from the page that was served here, and every request must know the token.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, with values, as ASGI holds them."""

BODY_LIMIT = 1 << 22
"""Bytes that a question may have: enough to paint over all of a photograph of 224 by 224 pixels."""
TOKEN_HEADER = "X-Pellucid-Token"

_HERE = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")
_JSON = re.compile(rb'application/json *(; *charset="?utf-8"?)? *', re.IGNORECASE)

SECURITY: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer."""


class RefusedError(Exception):
    """A request is refused.

    Args:
        status: of HTTP.
        message: for a person.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def page_policy(nonce: str) -> str:
    """Say what the page may load: its own script and style, pictures that it holds itself, and answers from here."""
    own = f"'nonce-{nonce}'"
    return (
        f"{SECURITY['Content-Security-Policy']}; script-src {own}; style-src {own}; "
        "img-src data: blob:; connect-src 'self'"
    )


def check_address(headers: Headers) -> None:
    """Refuse requests that do not name this computer, or that another site has made.

    Example:
        >>> check_address([(b"host", b"127.0.0.1:8000"), (b"origin", b"http://127.0.0.1:8000")])
        >>> check_address([(b"host", b"example.org")])
        Traceback (most recent call last):
        pellucid.insights.server.safety.RefusedError: Open the page from the address that Python printed.

    A link may lead here from anywhere, since a page that is opened by one shows nothing to the page with the link. All
    else must come from the page itself.

    Args:
        headers: of the request.

    Raises:
        RefusedError: 403, if the request comes from elsewhere.
    """
    hosts, origins = _values(headers, b"host"), _values(headers, b"origin")
    here = len(hosts) == 1 and _HERE.fullmatch(hosts[0]) is not None
    own = not origins or (here and origins == [b"http://" + hosts[0]])
    site = _values(headers, b"sec-fetch-site")
    link = _values(headers, b"sec-fetch-mode") == [b"navigate"] and _values(headers, b"sec-fetch-dest") == [b"document"]
    if not (here and own and (site in ([], [b"same-origin"]) or link)):
        raise RefusedError(403, "Open the page from the address that Python printed.")


def check_token(given: list[bytes], token: str) -> None:
    """Refuse requests that do not hold the token exactly once; the time this takes does not depend on what was given.

    Raises:
        RefusedError: 401.
    """
    if len(given) != 1 or not hmac.compare_digest(given[0], token.encode()):
        raise RefusedError(401, "The token is missing or wrong. Open the page from the address that Python printed.")


def token_of_page(query: bytes) -> list[bytes]:
    """Return the tokens in the query of an address."""
    try:
        found = parse_qs(query, max_num_fields=8)
    except ValueError:
        return []
    return found.get(b"token", [])


def token_of_question(headers: Headers) -> list[bytes]:
    """Return the tokens in the headers of a question."""
    return _values(headers, TOKEN_HEADER.lower().encode())


def check_content(headers: Headers) -> None:
    """Refuse bodies that are no plain JSON, or too long by their own account.

    Raises:
        RefusedError: 413 or 415.
    """
    types = _values(headers, b"content-type")
    if len(types) != 1 or not _JSON.fullmatch(types[0]) or _values(headers, b"content-encoding"):
        raise RefusedError(415, "A question is sent as application/json in UTF-8, not compressed.")
    for length in _values(headers, b"content-length"):
        if length.isdigit() and (len(length) > len(str(BODY_LIMIT)) or int(length) > BODY_LIMIT):
            raise too_long()


def too_long() -> RefusedError:
    """Return the refusal of a body beyond the limit."""
    return RefusedError(413, f"The question is longer than {BODY_LIMIT:,} bytes.")


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]
