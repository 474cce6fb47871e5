"""Logins by token: OAuth 2.0 client credentials (RFC 6749 §4.4) and AWS IAM, for the brokers and the registry.

aiokafka asks its token provider whenever it connects, Faust's consumer on a loop of its own. So a token is kept per
process until most of its life is over, and belongs to no loop.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import quote_plus, urlencode
from weakref import WeakKeyDictionary

import msgspec
from aiokafka import conn
from aiokafka import errors as Errors
from aiokafka.abc import AbstractTokenProvider

from pipeline.errors import ConfigError
from pipeline.kafka.connection import use_own_connections
from pipeline.kafka.http_client import CertificateError, ExchangeError, Response, decoded, exchange, session, shorten
from pipeline.settings import OAuthClient, Settings

RENEW_AT: Final = 0.8
"""Part of a token's life after which it is replaced."""
DEFAULT_LIFE: Final = 60.0
"""Seconds for which a token is used when the endpoint does not tell its life."""
RETRY_SECONDS: Final = 10.0
"""Least time between two attempts to replace a token that is still valid."""
AWS_SECONDS: Final = 15.0
log = logging.getLogger("login")
"""Not structlog: its import takes as long as all others of a command, and by default it prints to standard output."""


class TokenUnavailableError(Errors.KafkaConnectionError):
    """There is no token now: the endpoint is down. A retry may help. A class of aiokafka's, which it handles."""


class TokenRejectedError(Errors.SaslAuthenticationFailed):
    """The endpoint gives this client no token, or the brokers do not accept it: an operator must act."""


class Token(NamedTuple):
    """An access token and its life in seconds."""

    text: str
    seconds: float


class TokenSource:
    """Keeps the token of one client and replaces it before it expires. It may be used in several loops and threads."""

    def __init__(self, fetch: Callable[[], Awaitable[Token]]) -> None:
        self._fetch = fetch
        self._guard = threading.Lock()
        self._token: Token | None = None
        self._got = self._tried = 0.0
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    @property
    def latest(self) -> str:
        """The latest token, "" if there is none."""
        return self._token.text if self._token else ""

    def forget(self, text: str) -> None:
        """Drop this token, because a server rejected it."""
        with self._guard:
            if self.latest == text:
                self._token = None

    async def get(self) -> str:
        """Return a token that is valid now. Raises TokenUnavailableError, TokenRejectedError."""
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())  # one request per loop at a time
        return self._usable() or await self._replaced(lock)

    async def _replaced(self, lock: asyncio.Lock) -> str:
        async with lock:
            if text := self._usable():
                return text
            began = self._tried = time.monotonic()  # meanwhile, the other loops use the old token
            try:
                fresh = await self._fetch()
            except TokenUnavailableError as error:
                if text := self._usable():
                    log.warning("the token can't be replaced yet: %s", error.args[0])
                    return text
                raise
            with self._guard:
                self._token, self._got = fresh, began
            return fresh.text

    def _usable(self) -> str:
        """Return the token, "" when it has expired, or is due and was not tried to replace just now."""
        with self._guard:
            if self._token is None:
                return ""
            now = time.monotonic()
            age, life = now - self._got, self._token.seconds
            is_usable = age < life * RENEW_AT or (age < life and now - self._tried < RETRY_SECONDS)
            return self._token.text if is_usable else ""


# --- OAuth -------------------------------------------------------------------------------------------------------


class _Issued(msgspec.Struct):
    access_token: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9\-._~+/]+=*$")]  # RFC 6750 §2.1
    expires_in: Annotated[float, msgspec.Meta(gt=0)] | None = None


class _Refused(msgspec.Struct):
    error: str
    error_description: str = ""


async def request_token(client: OAuthClient) -> Token:
    """Request a token from the endpoint. Raises TokenUnavailableError, TokenRejectedError."""
    fields = {"grant_type": "client_credentials", "scope": client.scope, "audience": client.audience}
    data = urlencode({name: value for name, value in fields.items() if value}).encode()
    login = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"  # encoded first: RFC 6749 §2.3.1
    headers = {
        "Authorization": f"Basic {b64encode(login.encode()).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    where = f"the token endpoint {client.token_url}"
    try:
        context = client.ssl_context()
    except ConfigError as error:
        raise TokenRejectedError(str(error)) from None
    try:
        async with session(context) as opened:
            response = await exchange(opened, "POST", client.token_url, data, headers, client.redacted)
    except CertificateError as error:
        raise TokenRejectedError(
            f"the certificate of {where} can't be verified ({error}): check {client.prefix}_SSL_CA"
        ) from None
    except ExchangeError as error:
        kind = TokenRejectedError if error.permanent else TokenUnavailableError
        raise kind(f"no answer from {where} ({error}): check {client.prefix}_TOKEN_URL and that it runs") from None
    return _token(client, where, response)


def _token(client: OAuthClient, where: str, response: Response) -> Token:
    """Return the token in a response (RFC 6749 §5.1), or raise what the endpoint reports (§5.2)."""
    shown = response.shown(client.redacted)
    if response.status >= 500 or response.status in (408, 429):
        raise TokenUnavailableError(f"{where} failed with {shown}: look at its log")
    refused = decoded(response.body, _Refused)
    if response.status >= 400 and refused is not None:
        reason = shorten(client.redacted(f"{refused.error} {refused.error_description}".strip()))
        raise TokenRejectedError(
            f"{where} gives client {client.client_id!r} no token ({response.status}, {reason}): check "
            f"{client.prefix}_CLIENT_ID, {client.prefix}_CLIENT_SECRET and {client.prefix}_SCOPE"
        )
    issued = decoded(response.body, _Issued) if response.status == 200 else None
    if issued is None:
        what = "status 200 without a usable access_token" if response.status == 200 else shown
        raise TokenRejectedError(f"{where} answered with {what}: check {client.prefix}_TOKEN_URL")
    return Token(issued.access_token, issued.expires_in or DEFAULT_LIFE)


@functools.lru_cache(maxsize=8)
def oauth_tokens(client: OAuthClient) -> TokenSource:
    """Return the tokens of a client, the same for all its uses in this process."""
    return TokenSource(functools.partial(request_token, client))


# --- AWS MSK -----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8)
def msk_tokens(region: str) -> TokenSource:
    """Return the tokens for IAM of Amazon MSK; AWS's library finds the credentials. Raises ConfigError."""
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError as error:
        raise ConfigError(
            f"KAFKA_SASL_MECHANISM=AWS_MSK_IAM: {error.name} is not installed: "
            "run `pip install 'conference-pipeline[msk]'`"
        ) from None

    async def sign() -> Token:
        try:
            async with asyncio.timeout(AWS_SECONDS):
                text, expires = await asyncio.to_thread(MSKAuthTokenProvider.generate_auth_token, region)
        except Exception as error:  # of botocore, which has no common base for the errors of its credentials
            reason = shorten(str(error) or type(error).__name__)
            raise TokenUnavailableError(
                f"no AWS credentials to sign with ({reason}): check the pod's role or AWS_PROFILE, and KAFKA_AWS_REGION"
            ) from None
        return Token(text, expires / 1000 - time.time())

    return TokenSource(sign)


# --- for the clients ---------------------------------------------------------------------------------------------


class TokenProvider(AbstractTokenProvider):
    """Gives aiokafka the tokens, and the extensions that a broker may require (KIP-342)."""

    def __init__(self, tokens: TokenSource, extensions: dict[str, str]) -> None:
        self._tokens, self._extensions = tokens, extensions

    async def token(self) -> str:
        try:
            return await self._tokens.get()
        except Errors.KafkaError as error:
            _report(error)
            raise

    def extensions(self) -> dict[str, str]:
        return self._extensions


_reported: list[float] = []
"""When a failed login was last logged."""


def _report(error: Errors.KafkaError) -> None:
    """Log a failed login, now and then: aiokafka tries again and tells nobody."""
    now = time.monotonic()
    if not _reported or now - _reported[-1] >= RETRY_SECONDS:
        _reported[:] = [now]
        log.warning("no login to Kafka: %s", error.args[0])


class _Authenticator(conn.OAuthAuthenticator):
    """Notices that the broker rejects the token.

    The broker's answer then has status "no error" and a JSON text, and it waits for an empty message (RFC 7628 §3.2.3).
    The original takes this for a login, and the next request ends as a closed connection.
    """

    async def step(self, payload: bytes | None) -> Any:
        if self._token_sent and payload:
            reason = shorten(payload.decode(errors="replace"))
            error = TokenRejectedError(
                f"the broker does not accept the token ({reason}): check the token's issuer, "
                "audience and scope, and the broker's settings"
            )
            _report(error)
            raise error
        return await super().step(payload)


conn.OAuthAuthenticator = _Authenticator  # where `create_conn` looks it up


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments that all aiokafka clients share, with their login. Raises ConfigError."""
    use_own_connections()
    options = settings.kafka()
    if client := settings.kafka_oauth():
        options["sasl_oauth_token_provider"] = TokenProvider(oauth_tokens(client), settings.oauth_extension_map)
    elif settings.aws_region:
        options["sasl_oauth_token_provider"] = TokenProvider(msk_tokens(settings.aws_region), {})
    return options


class Authorization:
    """The header Authorization of the registry's requests."""

    def __init__(self, fixed: str = "", tokens: TokenSource | None = None) -> None:
        self._fixed, self._tokens = fixed, tokens

    async def headers(self) -> dict[str, str]:
        """Return the header, if there is a login. Raises TokenUnavailableError, TokenRejectedError."""
        value = f"Bearer {await self._tokens.get()}" if self._tokens else self._fixed
        return {"Authorization": value} if value else {}

    def renew(self, rejected: Mapping[str, str]) -> bool:
        """Drop the token in this header, because the registry rejected it; return whether there can be another."""
        if self._tokens is None:
            return False
        self._tokens.forget(rejected["Authorization"].removeprefix("Bearer "))
        return True

    def redacted(self, text: str) -> str:
        """Return `text` without the token."""
        token = self._tokens.latest if self._tokens else ""
        return text.replace(token, "***") if token else text


def registry_authorization(settings: Settings) -> Authorization:
    """Return how the registry's client logs in."""
    if client := settings.registry_oauth():
        return Authorization(tokens=oauth_tokens(client))
    if token := settings.registry_token.get_secret_value():
        return Authorization(f"Bearer {token}")
    user, password = settings.registry_basic
    pair = b64encode(f"{user}:{password}".encode()).decode()
    return Authorization(f"Basic {pair}" if user or password else "")
