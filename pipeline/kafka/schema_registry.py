"""Client of a schema registry with the Confluent API. Used at start-up and once per unknown id, never per record."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, Self

import aiohttp
import msgspec

from pipeline.errors import ConfigError, DeniedError, PipelineError
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.topics import TOPICS

COMPATIBILITY = "FULL_TRANSITIVE"
_NO_SUBJECT = 40401  # the Confluent API's error code
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
        self.date = ""
        """The header Date of the latest response: the registry's clock, in whole seconds."""

    async def __aenter__(self) -> Self:
        settings, auth = self._settings, None
        headers = {"Accept": _CONTENT_TYPE}
        if token := settings.registry_token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        elif settings.registry_username:
            auth = aiohttp.BasicAuth(settings.registry_username, settings.registry_password.get_secret_value())
        connector = aiohttp.TCPConnector(ssl=settings.registry_ssl())
        self._session = aiohttp.ClientSession(headers=headers, auth=auth, timeout=_TIMEOUT, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def _request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and decoded JSON. Raises RegistryDownError; ConfigError when the settings are wrong."""
        status, content = await self._send(method, path, body)
        if status == 401:
            raise self._error(
                "rejected the login (401): check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or "
                "SCHEMA_REGISTRY_BEARER_TOKEN"
            )
        if status == 403:
            raise self._error(
                f"denied {method} {path} (403): allow this user to read, and to write for `setup` "
                "(docs/reference/security.md), or check SCHEMA_REGISTRY_USERNAME or SCHEMA_REGISTRY_BEARER_TOKEN",
                DeniedError,
            )
        if status >= 500 or status in (408, 429):
            raise self._error(f"failed with status {status} {content[:200]!r}: look at its log", RegistryDownError)
        try:
            decoded = msgspec.json.decode(content)
        except msgspec.DecodeError:
            decoded = None
        if not isinstance(decoded, dict | list) or (status == 404 and "error_code" not in decoded):
            raise self._not_a_registry(path, status)
        return status, decoded

    async def _send(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        """Return status and content. Raises RegistryDownError; ConfigError for a wrong URL or certificate."""
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
                f"({getattr(error.certificate_error, 'verify_message', '') or error.certificate_error}): check "
                "SCHEMA_REGISTRY_SSL_CA, and that the certificate carries the URL's host name"
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = self._settings.redacted(str(error).replace(self._url, "").strip() or type(error).__name__)
            where = f"no answer from the registry at {self._shown} ({why})"
            raise RegistryDownError(f"{where}: check SCHEMA_REGISTRY_URL and that it runs") from None

    def _error(self, text: str, kind: type[PipelineError] = ConfigError) -> PipelineError:
        return kind(f"the registry at {self._shown} {text}")

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
            raise self._error(f"rejected the request for schema id {schema_id}: {_reason(body)}")
        if not isinstance(body, dict) or "schema" not in body:
            raise self._not_a_registry(f"/schemas/ids/{schema_id}", status)
        return str(body["schema"]) if body.get("schemaType", "AVRO") == "AVRO" else None

    async def schema_ids(self, prefix: str) -> dict[str, int]:
        """Map full record names to the ids of this program's schemas. Raises ConfigError if one is missing."""
        subjects = [item for topic in TOPICS for item in topic.subjects(prefix).items()]
        found = await asyncio.gather(*(self._find(subject, record) for subject, record in subjects))
        ids = {}
        for (subject, record), (status, body) in zip(subjects, found, strict=True):
            if status != 200:
                raise self._error(
                    f"has no version of subject {subject} with this program's schema ({_reason(body)}): run "
                    "`conference-pipeline setup`"
                )
            ids[record] = int(body["id"])
        return ids

    async def _find(self, subject: str, record: str) -> tuple[int, Any]:
        """Look this program's schema up among the versions of the subject: status 200 when it is one of them."""
        return await self._request("POST", f"/subjects/{subject}", {"schema": SCHEMAS[record]})

    async def subject_status(self, subject: str, record: str) -> SchemaStatus:
        """Compare a subject with this program's schema of `record`. Raises RegistryDownError, ConfigError."""
        status, body = await self._find(subject, record)
        if status == 200:
            return "current" if await self._has_level(f"/config/{subject}") else "other level"
        if isinstance(body, dict) and body.get("error_code") == _NO_SUBJECT:
            return "missing"
        path, schema = f"/compatibility/subjects/{subject}/versions", {"schema": SCHEMAS[record]}
        _, result = await self._request("POST", path, schema)
        compatible = not isinstance(result, dict) or result.get("is_compatible") is not False
        return "outdated" if compatible else "incompatible"

    async def register(self, subject: str, record: str) -> bool:
        """Register a schema of this program; return whether it is new. Raises RegistryDownError, ConfigError."""
        registered = (await self._find(subject, record))[0] == 200
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
        status, body = await self._request("PUT", path, {"compatibility": COMPATIBILITY})
        # Another setup may have set it.
        return None if status == 200 or await self._has_level(path) else _reason(body)

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
            raise self._error(f"rejected the schema of subject {subject}: {_reason(body)}")

    async def delete(self, subject: str) -> None:
        """Delete a subject with all its versions, if it exists."""
        for query in ("", "?permanent=true"):  # a soft delete must come first
            await self._request("DELETE", f"/subjects/{subject}{query}")


def _reason(body: Any) -> str:
    return str((body.get("message") or body.get("error_code") or body) if isinstance(body, dict) else body)
