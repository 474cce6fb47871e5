"""One HTTP request to a server that may be broken or hostile: bounded in time and size, no redirects, no secrets shown.

The schema registry's client and the one of token endpoints use it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import aiohttp
import msgspec

CONNECT_SECONDS: Final = 5.0
EXCHANGE_SECONDS: Final = 15.0
"""Longest time from the request to the last byte of the body."""
MAX_BODY: Final = 16 << 20
"""Longest body that is read, in bytes. The longest real one is the list of subjects of a large registry."""
MAX_RETRY_AFTER: Final = 60.0
_T = TypeVar("_T")
_REDACTED: Final = 1 << 16
_SHOWN: Final = 200
"""Longest piece of a foreign text in an error, in characters."""


class Response(NamedTuple):
    """Status and body of a response. `kind` is its media type, `date` the header Date.

    `retry_after` is the wait in seconds that the server asks for, at most MAX_RETRY_AFTER, else 0. `location` is where
    a redirect points to, without login, query and fragment.
    """

    status: int
    body: bytes
    kind: str = ""
    date: str = ""
    retry_after: float = 0.0
    location: str = ""

    def shown(self, redacted: Callable[[str], str]) -> str:
        """Return status and beginning of the body, for an error."""
        what = f"status {self.status}"
        if self.location:
            return f"{what} and a redirect to {redacted(self.location)}"
        # Redacted before it is cut: the beginning of a secret is one, too.
        beginning = shorten(redacted(self.body[:_REDACTED].decode(errors="backslashreplace")), 80)
        return f"{what} and {self.kind or 'a body'} '{beginning}'" if self.body else f"{what} and no body"


class ExchangeError(Exception):
    """There is no complete response. The text is the reason, without a remedy; `permanent`: a retry does not help."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


class CertificateError(ExchangeError):
    """The server's certificate can't be verified."""


def session(context: ssl.SSLContext | bool, headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    """Return a session for `exchange`. Bodies are not decompressed, so that their length is bounded."""
    return aiohttp.ClientSession(
        headers={"Accept-Encoding": "identity", **(headers or {})},
        timeout=aiohttp.ClientTimeout(total=EXCHANGE_SECONDS, connect=CONNECT_SECONDS),
        connector=aiohttp.TCPConnector(ssl=context),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def exchange(
    opened: aiohttp.ClientSession,
    method: str,
    url: str,
    data: bytes | None,
    headers: Mapping[str, str],
    redacted: Callable[[str], str],
) -> Response:
    """Send a request and return the response, also one with an error status. Raises ExchangeError.

    A redirect is returned, not followed: its target would receive the credentials.
    """
    try:
        async with asyncio.timeout(EXCHANGE_SECONDS):
            request = opened.request(method, url, data=data, headers=headers, allow_redirects=False)
            async with request as response:
                return await _read(response, url)
    except TimeoutError:
        raise ExchangeError(f"no complete answer within {EXCHANGE_SECONDS:.0f} s") from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise ExchangeError("not an http:// or https:// URL", permanent=True) from None
    except aiohttp.ClientConnectorCertificateError as error:
        reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        raise CertificateError(shorten(reason), permanent=True) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        reason = str(error).replace(url, "").strip() or type(error).__name__
        raise ExchangeError(shorten(redacted(reason))) from None


async def _read(response: aiohttp.ClientResponse, url: str) -> Response:
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ExchangeError("the body is compressed, although that was not asked for")
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY:
            response.close()  # do not read the rest to reuse the connection
            raise ExchangeError(f"the body is longer than {MAX_BODY >> 20} MiB")
        chunks.append(chunk)
    location = headers.get("Location", "") if 300 <= response.status < 400 else ""
    return Response(
        response.status,
        b"".join(chunks),
        shorten(headers.get("Content-Type", "").partition(";")[0], 60),
        headers.get("Date", ""),
        _wait(headers.get("Retry-After", ""), headers.get("Date", "")),
        _target(url, location) if location else "",
    )


def _wait(retry_after: str, date: str) -> float:
    """Return the seconds that the header Retry-After asks for; 0 when it is missing or odd."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:  # a time, on the server's clock
            seconds = (parsedate_to_datetime(retry_after) - parsedate_to_datetime(date)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(MAX_RETRY_AFTER, seconds) if seconds > 0 else 0.0


def _target(url: str, location: str) -> str:
    try:
        parts = urlsplit(urljoin(url, location))
    except ValueError:
        return "an invalid URL"
    return shorten(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))


def shorten(text: str, length: int = _SHOWN) -> str:
    """Return a foreign text in one line of printable characters, cut to `length`."""
    cut = text[:length] + ("…" if len(text) > length else "")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)


def decoded(body: bytes, kind: type[_T]) -> _T | None:
    """Return the JSON body as a value of this type, None if it is another."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
