"""Passwords in URLs, which must not be shown: neither in a message nor in what a library says of the URL."""

import re
from urllib.parse import quote, unquote

_HIDDEN = "***"
_KEY = re.compile(r"pass|pwd|secret|token|key|credential|signature", re.IGNORECASE)


def redact(text: str, url: str) -> str:
    """`text` without the passwords that `url` holds, as they are written there or decoded.

    A URL that is not well formed (a password with an `@` or `/` of its own) loses rather more than less.
    """
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return text


def _secrets(url: str) -> set[str]:
    _scheme, separator, rest = url.partition("://")
    user, _, _place = (rest if separator else url).rpartition("@")
    found = {user.partition(":")[2]}
    found |= {value for name, value in re.findall(r"[?&;]([^=&;]+)=([^&;]*)", url) if _KEY.search(name)}
    # A library that reads the URL otherwise may show a part.
    found |= {part for secret in found for part in re.split(r"[/:@?#&]", secret) if len(part) > 2}
    found = {form for secret in found for form in (secret, unquote(secret), quote(secret, safe=""))}
    return found - {""}
