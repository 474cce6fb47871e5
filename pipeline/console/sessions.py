"""Logins. A cookie has the time of its end and a signature made with the token, so that nothing is stored."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from typing import Final

_COOKIE: Final = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


class Sessions:
    """Makes and checks cookies. `token` is what people enter; "" for a console without a login."""

    def __init__(self, token: str, hours: float) -> None:
        self._token = sha256(token.encode()).digest()
        self._key = hmac.digest(token.encode(), b"conference-pipeline console: cookies", sha256)
        self.seconds = round(hours * 3600)
        self.is_required = bool(token)

    def accepts(self, entered: str) -> bool:
        """Return whether this is the token. The time that it takes does not depend on the token."""
        return hmac.compare_digest(sha256(entered.encode("utf-8", "surrogatepass")).digest(), self._token)

    def cookie(self, now: float) -> str:
        """Return the value of a new cookie; `now` is seconds since 1970."""
        end = str(int(now) + self.seconds)
        return f"{end}.{self._signature(end)}"

    def is_valid(self, cookie: str, now: float) -> bool:
        """Return whether a cookie was made with this token, and has not ended."""
        found = _COOKIE.fullmatch(cookie)
        return found is not None and int(found[1]) > now and hmac.compare_digest(self._signature(found[1]), found[2])

    def _signature(self, end: str) -> str:
        return hmac.new(self._key, end.encode(), sha256).hexdigest()
