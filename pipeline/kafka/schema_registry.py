"""Client of a schema registry with the Confluent API. Used at start-up and once per unknown id, never per record.

Whatever answers at the URL is foreign: every body is bounded and decoded by type, and every other answer is an error
that names the URL, what came, and the remedy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeVar

import msgspec

from pipeline.errors import ConfigError, DeniedError, PipelineError
from pipeline.kafka.http_client import CertificateError, ExchangeError, Response, decoded, exchange, session, shorten
from pipeline.kafka.oauth import TokenRejectedError, TokenUnavailableError, registry_authorization
from pipeline.model.schema_resolution import OtherFormat
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.topics import TOPICS, Topic

COMPATIBILITY = "FULL_TRANSITIVE"
_NO_SUBJECT = 40401  # the Confluent API's error code
_NOT_FOUND: Final = range(40401, 40500)
"""Error codes with which a registry says that it does not have something. A 404 without one comes from a proxy."""
SchemaStatus = Literal[
    "current",  # this program's schema is registered, with level COMPATIBILITY
    "other level",  # this program's schema is registered, with another compatibility level
    "missing",  # the subject does not exist
    "outdated",  # only other versions are registered; this program's schema is compatible with them
    "incompatible",  # only other versions are registered; this program's schema is not compatible with them
]
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_T = TypeVar("_T")


class RegistryDownError(PipelineError):
    """The registry does not answer, or fails (5xx, 408, 429), or something else answers in its place: retry later."""


class _Refusal(msgspec.Struct):
    error_code: int
    message: str = ""


class _Schema(msgspec.Struct):
    schema: str
    schemaType: str = "AVRO"


class _Registered(msgspec.Struct):
    id: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]  # four bytes in a record


class _Compatibility(msgspec.Struct):
    is_compatible: bool


class _Level(msgspec.Struct):
    compatibilityLevel: str


class Registry:
    """A client of the registry's HTTP API; use it as an asynchronous context manager."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.registry_shown
        self._settings = settings
        self._authorization = registry_authorization(settings)
        self._answered = False
        self._not_before = 0.0
        self.date = ""
        """The header Date of the latest response: the registry's clock, in whole seconds."""

    async def __aenter__(self) -> Self:
        self._session = session(self._settings.registry_ssl(), {"Accept": _CONTENT_TYPE})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def _request(self, method: str, path: str, body: Any = None) -> Response:
        """Return a response with status 200, or 4xx and the registry's error code. Raises as `_checked`."""
        await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
        login = await self._login()
        response = await self._send(method, path, body, login)
        if response.status == 401 and self._authorization.renew(login):  # the token was revoked
            response = await self._send(method, path, body, await self._login())
        return self._checked(method, path, response)

    def _checked(self, method: str, path: str, response: Response) -> Response:
        """Raise RegistryDownError; ConfigError when the settings are wrong. Otherwise return the response."""
        status = response.status
        is_page = "html" in response.kind or response.body.lstrip()[:1] == b"<"
        if status == 401 and not is_page:
            raise self._error(f"rejected the login (401): check {self._settings.registry_login_names}")
        if status == 403 and not is_page:
            raise self._error(
                f"denied {method} {path} (403): allow this user to read, and to write for `setup` "
                f"(docs/reference/security.md), or check {self._settings.registry_login_names}",
                DeniedError,
            )
        if status >= 500 or status in (408, 429):
            self._not_before = time.monotonic() + response.retry_after
            raise self._error(f"failed with {self._shown(response)}: look at its log", RegistryDownError)
        if status == 200:
            return response
        refusal = decoded(response.body, _Refusal)
        if status < 400 or refusal is None or (status == 404 and refusal.error_code not in _NOT_FOUND):
            raise self._odd(path, response)
        self._answered = True
        return response

    async def _login(self) -> dict[str, str]:
        """Return the header of the login. Raises RegistryDownError, ConfigError."""
        try:
            return await self._authorization.headers()
        except TokenUnavailableError as error:
            raise RegistryDownError(f"no login to the registry at {self._url}: {error.args[0]}") from None
        except TokenRejectedError as error:
            raise ConfigError(f"no login to the registry at {self._url}: {error.args[0]}") from None

    async def _send(self, method: str, path: str, body: Any, login: Mapping[str, str]) -> Response:
        """Return a response. Raises RegistryDownError; ConfigError for a wrong URL or certificate."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": _CONTENT_TYPE, **login} if data else login
        try:
            response = await exchange(self._session, method, self._url + path, data, headers, self._redacted)
        except CertificateError as error:
            raise ConfigError(
                f"the certificate of the registry at {self._url} can't be verified ({error}): check "
                "SCHEMA_REGISTRY_SSL_CA, and that the certificate carries the URL's host name"
            ) from None
        except ExchangeError as error:
            if error.permanent:
                raise ConfigError(f"SCHEMA_REGISTRY_URL={self._url}: {error}: correct it") from None
            where = f"no answer from the registry at {self._url} ({error})"
            # With TLS 1.3, a server refuses a client without a certificate after the handshake.
            needs_one = self._url.startswith("https") and not self._settings.registry_cert
            hint = "; if it requires a client certificate, set SCHEMA_REGISTRY_SSL_CERT" if needs_one else ""
            raise RegistryDownError(f"{where}: check SCHEMA_REGISTRY_URL and that it runs{hint}") from None
        self.date = response.date
        return response

    def _redacted(self, text: str) -> str:
        return self._authorization.redacted(self._settings.redacted(text))

    def _shown(self, response: Response) -> str:
        return response.shown(self._redacted)

    def _error(self, text: str, kind: type[PipelineError] = ConfigError) -> PipelineError:
        return kind(f"the registry at {self._url} {text}")

    def _odd(self, path: str, response: Response) -> PipelineError:
        """Return the error for an answer that no registry gives.

        It means a wrong URL as long as no registry has answered there; later, that something between is in the way.
        """
        named = "the Confluent-compatible API (Apicurio: …/apis/ccompat/v7)"
        if response.location:
            named = "the registry itself, because a redirect is not followed: its target would receive the login"
        found = f"{self._url}{path} answered with {self._shown(response)}"
        if self._answered:
            return RegistryDownError(
                f"{found}, which is not the registry that answered before: look at what is between"
            )
        return ConfigError(f"{found}, which is not a schema registry: SCHEMA_REGISTRY_URL must name {named}")

    def _decoded(self, path: str, response: Response, kind: type[_T]) -> _T:
        value = decoded(response.body, kind)
        if value is None:
            raise self._odd(path, response)
        self._answered = True
        return value

    def _reason(self, response: Response) -> str:
        """Return why the registry refuses, in one line."""
        refusal = decoded(response.body, _Refusal)
        if refusal is None:
            return self._shown(response)
        return shorten(self._redacted(refusal.message or str(refusal.error_code)))

    async def ping(self) -> None:
        """Check that the registry answers. Raises RegistryDownError, ConfigError."""
        await self.subjects()

    async def subjects(self) -> list[str]:
        """Return the names of all subjects. Raises RegistryDownError, ConfigError."""
        response = await self._request("GET", "/subjects")
        return self._decoded("/subjects", response, list[str])

    async def schema(self, schema_id: int) -> str | None:
        """Return the schema with this id as text, None if there is none; OtherFormat for one that is not Avro.

        Raises RegistryDownError, ConfigError.
        """
        path = f"/schemas/ids/{schema_id}"
        response = await self._request("GET", path)
        if response.status == 404:
            return None
        if response.status != 200:
            raise self._error(f"rejected the request for schema id {schema_id}: {self._reason(response)}")
        found = self._decoded(path, response, _Schema)
        return found.schema if found.schemaType == "AVRO" else OtherFormat(found.schemaType)

    async def schema_ids(self, prefix: str, topics: Iterable[Topic] = TOPICS) -> dict[str, int]:
        """Map full record names to the ids of this program's schemas. Raises ConfigError if one is missing."""
        subjects = [item for topic in topics for item in topic.subjects(prefix).items()]
        found = await asyncio.gather(*(self._find(subject, record) for subject, record in subjects))
        ids = {}
        for (subject, record), response in zip(subjects, found, strict=True):
            if response.status != 200:
                raise self._error(
                    f"has no version of subject {subject} with this program's schema ({self._reason(response)}): run "
                    "`conference-pipeline setup`"
                )
            ids[record] = self._decoded(f"/subjects/{subject}", response, _Registered).id
        return ids

    async def _find(self, subject: str, record: str) -> Response:
        """Look this program's schema up among the versions of the subject: status 200 when it is one of them."""
        return await self._request("POST", f"/subjects/{subject}", {"schema": SCHEMAS[record]})

    async def subject_status(self, subject: str, record: str) -> SchemaStatus:
        """Compare a subject with this program's schema of `record`. Raises RegistryDownError, ConfigError."""
        response = await self._find(subject, record)
        if response.status == 200:
            return "current" if await self._has_level(f"/config/{subject}") else "other level"
        refusal = decoded(response.body, _Refusal)
        if refusal is not None and refusal.error_code == _NO_SUBJECT:
            return "missing"
        path, schema = f"/compatibility/subjects/{subject}/versions", {"schema": SCHEMAS[record]}
        result = await self._request("POST", path, schema)
        if result.status != 200:
            return "outdated"  # the registry does not judge it
        return "outdated" if self._decoded(path, result, _Compatibility).is_compatible else "incompatible"

    async def versions(self, subject: str) -> dict[int, str]:
        """Return the schemas of a subject by version; none if it is unknown. Raises RegistryDownError, ConfigError."""
        path = f"/subjects/{subject}/versions"
        response = await self._request("GET", path)
        if response.status == 404:
            return {}
        if response.status != 200:
            raise self._error(f"does not list the versions of subject {subject}: {self._reason(response)}")
        found = {}
        for number in self._decoded(path, response, list[int]):
            one = await self._request("GET", f"{path}/{number}")
            if one.status == 200:  # else it was deleted meanwhile
                found[number] = self._decoded(f"{path}/{number}", one, _Schema).schema
        return found

    async def register(self, subject: str, record: str) -> bool:
        """Register a schema of this program; return whether it is new. Raises RegistryDownError, ConfigError."""
        registered = (await self._find(subject, record)).status == 200
        # The level is set before the first version, and per subject: the global level belongs to the registry's owner.
        rejection = await self._set_level(subject)
        if not registered:
            await self._add_version(subject, record)
            if rejection:  # some registries require the subject first
                rejection = await self._set_level(subject)
        if rejection:
            raise self._error(f"did not set compatibility level {COMPATIBILITY} on subject {subject}: {rejection}")
        return not registered

    async def _set_level(self, subject: str) -> str | None:
        """Set the subject's compatibility level; return the registry's reason when it rejects that."""
        path = f"/config/{subject}"
        if await self._has_level(path):
            return None
        response = await self._request("PUT", path, {"compatibility": COMPATIBILITY})
        # Another setup may have set it.
        return None if response.status == 200 or await self._has_level(path) else self._reason(response)

    async def _has_level(self, path: str) -> bool:
        response = await self._request("GET", path)
        return response.status == 200 and self._decoded(path, response, _Level).compatibilityLevel == COMPATIBILITY

    async def _add_version(self, subject: str, record: str) -> None:
        path = f"/subjects/{subject}/versions"
        response = await self._request("POST", path, {"schema": SCHEMAS[record]})
        if response.status == 409:
            raise ConfigError(
                f"subject {subject} has a version with which this program's schema of {record} is not {COMPATIBILITY} "
                f"compatible ({self._reason(response)}): if you changed the schema, give new fields a default; else "
                "use another PIPELINE_TOPIC_PREFIX, or a program version that fits"
            )
        if response.status != 200:
            raise self._error(f"rejected the schema of subject {subject}: {self._reason(response)}")
        self._decoded(path, response, _Registered)

    async def delete(self, subject: str) -> None:
        """Delete a subject with all its versions, if it exists."""
        for query in ("", "?permanent=true"):  # a soft delete must come first
            await self._request("DELETE", f"/subjects/{subject}{query}")
