"""Client of a schema registry with the Confluent API: ids of schemas, schemas by id, registration by `setup`.

It is used at start-up and once per unknown schema id, never per record.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import msgspec

from pipeline.errors import ConfigError, DeniedError, PipelineError
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.topics import TOPICS

COMPATIBILITY = "FULL_TRANSITIVE"
NO_SUBJECT = 40401
"""The Confluent API's error code for an unknown subject."""
SchemaStatus = Literal[
    "current",  # this program's schema is registered, with level COMPATIBILITY
    "other level",  # this program's schema is registered, with another compatibility level
    "missing",  # the subject does not exist
    "outdated",  # only other versions are registered; this program's schema is compatible with them
    "incompatible",  # only other versions are registered; this program's schema is not compatible with them
]
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)


class RegistryDownError(PipelineError):
    """The registry does not answer, or fails (5xx, 408, 429): retry later."""


class Registry:
    """A client of the registry's HTTP API; use it as an asynchronous context manager."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.registry_url.rstrip("/")
        self._shown = settings.registry_shown
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self.date = ""
        """The header Date of the latest response: the registry's clock, in whole seconds."""

    async def __aenter__(self) -> Self:
        settings = self._settings
        headers = {"Accept": _CONTENT_TYPE}
        auth = None
        if token := settings.registry_token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        elif settings.registry_username:
            auth = aiohttp.BasicAuth(settings.registry_username, settings.registry_password.get_secret_value())
        self._session = aiohttp.ClientSession(
            headers=headers,
            auth=auth,
            timeout=_TIMEOUT,
            connector=aiohttp.TCPConnector(ssl=settings.registry_ssl()),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def _request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and decoded JSON. Raises RegistryDownError; ConfigError when the settings are wrong."""
        status, content = await self._send(method, path, body)
        if status == 401:
            raise ConfigError(
                f"the registry at {self._shown} rejected the login (401): check SCHEMA_REGISTRY_USERNAME and "
                "SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_BEARER_TOKEN"
            )
        if status == 403:
            raise DeniedError(
                f"the registry at {self._shown} denied {method} {path} (403): allow this user to read, and to "
                "write for `setup` (docs/reference/security.md), or check SCHEMA_REGISTRY_USERNAME or "
                "SCHEMA_REGISTRY_BEARER_TOKEN"
            )
        if status >= 500 or status in (408, 429):
            raise RegistryDownError(
                f"the registry at {self._shown} failed with status {status} {content[:200]!r}: look at its log"
            )
        try:
            decoded = msgspec.json.decode(content)
        except msgspec.DecodeError:
            decoded = None
        if not isinstance(decoded, dict | list) or (status == 404 and "error_code" not in decoded):
            raise self._not_a_registry(path, status)
        return status, decoded

    async def _send(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        """Return status and content. Raises RegistryDownError; ConfigError for a wrong URL or certificate."""
        assert self._session is not None, "use it as a context manager"
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": _CONTENT_TYPE} if data else {}
        try:
            async with self._session.request(method, self._url + path, data=data, headers=headers) as response:
                content = await response.read()
                self.date = response.headers.get("Date", "")
                return response.status, content
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise ConfigError(f"SCHEMA_REGISTRY_URL={self._shown} is not an http:// or https:// URL") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise ConfigError(
                f"the certificate of the registry at {self._shown} can't be verified "
                f"({_tls_reason(error.certificate_error)}): check SCHEMA_REGISTRY_SSL_CA, and that the certificate "
                "carries the URL's host name"
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = self._settings.redacted(str(error).replace(self._url, "").strip() or type(error).__name__)
            raise RegistryDownError(
                f"no answer from the registry at {self._shown} ({reason}): check SCHEMA_REGISTRY_URL and that it runs"
            ) from None

    def _not_a_registry(self, path: str, status: int) -> ConfigError:
        return ConfigError(
            f"{self._shown}{path} ({status}) is not a schema registry: SCHEMA_REGISTRY_URL must name the "
            "Confluent-compatible API (Apicurio: …/apis/ccompat/v7)"
        )

    async def ping(self) -> None:
        """Check that the registry answers. Raises RegistryDownError, ConfigError."""
        await self._request("GET", "/subjects")

    async def schema(self, schema_id: int) -> str | None:
        """Return the Avro schema with this id as text, None if there is none. Raises RegistryDownError, ConfigError."""
        status, body = await self._request("GET", f"/schemas/ids/{schema_id}")
        if status == 404:
            return None
        if status != 200:
            raise ConfigError(
                f"the registry at {self._shown} rejected the request for schema id {schema_id}: {_reason(body)}"
            )
        if not isinstance(body, dict) or "schema" not in body:
            raise self._not_a_registry(f"/schemas/ids/{schema_id}", status)
        if body.get("schemaType", "AVRO") != "AVRO":
            return None
        return str(body["schema"])

    async def schema_ids(self, prefix: str) -> dict[str, int]:
        """Map full record names to the ids of this program's schemas. Raises ConfigError if one is missing."""
        subjects = [(s, r) for topic in TOPICS for s, r in topic.subjects(prefix).items()]
        found = await asyncio.gather(*(self._lookup(subject, record) for subject, record in subjects))
        return {record: schema_id for (_, record), schema_id in zip(subjects, found, strict=True)}

    async def _lookup(self, subject: str, record: str) -> int:
        status, body = await self._request("POST", f"/subjects/{subject}", {"schema": SCHEMAS[record]})
        if status == 200:
            return int(body["id"])
        raise ConfigError(
            f"the registry at {self._shown} has no version of subject {subject} with this program's schema "
            f"({_reason(body)}): run `conference-pipeline setup`"
        )

    async def subject_status(self, subject: str, record: str) -> SchemaStatus:
        """Compare a subject with this program's schema of `record`. Raises RegistryDownError, ConfigError."""
        schema = {"schema": SCHEMAS[record]}
        status, body = await self._request("POST", f"/subjects/{subject}", schema)
        if status == 200:
            return "current" if await self._has_level(f"/config/{subject}") else "other level"
        if isinstance(body, dict) and body.get("error_code") == NO_SUBJECT:
            return "missing"
        _, result = await self._request("POST", f"/compatibility/subjects/{subject}/versions", schema)
        compatible = not isinstance(result, dict) or result.get("is_compatible") is not False
        return "outdated" if compatible else "incompatible"

    async def register(self, subject: str, record: str) -> bool:
        """Register this program's schema of `record` under `subject`; return False if it was registered already.

        Raises RegistryDownError; ConfigError when the schema is incompatible or the registry rejects it.
        """
        status, _ = await self._request("POST", f"/subjects/{subject}", {"schema": SCHEMAS[record]})
        registered = status == 200
        # The level is set before the first version, and per subject: the global level belongs to the registry's owner.
        rejection = await self._set_level(subject)
        if rejection and not registered:  # some registries require the subject first
            await self._add_version(subject, record)
            rejection = await self._set_level(subject)
        if rejection:
            raise ConfigError(
                f"the registry at {self._shown} did not set compatibility level {COMPATIBILITY} on subject {subject}: "
                f"{rejection}"
            )
        if not registered:
            await self._add_version(subject, record)
        return not registered

    async def _set_level(self, subject: str) -> str | None:
        """Set the subject's compatibility level; return the registry's reason when it rejects that."""
        path = f"/config/{subject}"
        if await self._has_level(path):
            return None
        status, body = await self._request("PUT", path, {"compatibility": COMPATIBILITY})
        if status == 200 or await self._has_level(path):  # another setup may have set it
            return None
        return _reason(body)

    async def _has_level(self, path: str) -> bool:
        status, body = await self._request("GET", path)
        return status == 200 and body.get("compatibilityLevel") == COMPATIBILITY

    async def _add_version(self, subject: str, record: str) -> None:
        status, body = await self._request("POST", f"/subjects/{subject}/versions", {"schema": SCHEMAS[record]})
        if status == 409:
            raise ConfigError(
                f"subject {subject} has a version with which this program's schema of {record} is not {COMPATIBILITY} "
                f"compatible ({_reason(body)}): if you changed the schema, give new fields a default; else use another "
                "PIPELINE_TOPIC_PREFIX, or a program version that fits"
            )
        if status != 200:
            raise ConfigError(
                f"the registry at {self._shown} rejected the schema of subject {subject}: {_reason(body)}"
            )

    async def delete(self, subject: str) -> None:
        """Delete a subject with all its versions, if it exists."""
        for query in ("", "?permanent=true"):  # a soft delete must come first
            await self._request("DELETE", f"/subjects/{subject}{query}")


def _tls_reason(error: Exception) -> str:
    return str(getattr(error, "verify_message", "") or error)


def _reason(body: Any) -> str:
    if isinstance(body, dict):
        return str(body.get("message") or body.get("error_code") or body)
    return str(body)
