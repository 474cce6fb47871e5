"""The schema registry: ids for our schemas, schemas for ids, and how `setup` registers them.

Any registry with the Confluent API will do. It is asked at start-up and for a schema id that was never met
before, never per record.
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
"""The Confluent API's code for a subject that is not there."""
SchemaStatus = Literal["ours", "level", "missing", "older", "incompatible"]
"""Ours is registered, and with our level; ours with another level; nothing is; other versions are, which ours fits, or
does not fit."""
_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)


class RegistryDownError(PipelineError):
    """The registry doesn't answer, or answers with a 5xx: wait and ask again."""


class Registry:
    """A client of the registry's HTTP API; an asynchronous context manager."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.registry_url.rstrip("/")
        self._shown = settings.registry_shown
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self.date = ""
        """What the latest answer had in its header Date: the registry's clock, to the second."""

    async def __aenter__(self) -> Self:
        settings = self._settings
        headers = {"Accept": _CONTENT_TYPE}
        auth = None
        if token := settings.registry_token.get_secret_value():
            headers["Authorization"] = f"Bearer {token}"
        elif settings.registry_username:
            auth = aiohttp.BasicAuth(
                settings.registry_username, settings.registry_password.get_secret_value()
            )
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

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON. Raises RegistryDownError, or ConfigError when we are not let in."""
        assert self._session is not None, "use it as a context manager"
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": _CONTENT_TYPE} if data else {}
        url = self._url + path
        try:
            async with self._session.request(method, url, data=data, headers=headers) as answer:
                content = await answer.read()
                status = answer.status
                self.date = answer.headers.get("Date", "")
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise ConfigError(f"SCHEMA_REGISTRY_URL={self._shown} is no http:// or https:// URL") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise ConfigError(
                f"the certificate of the registry at {self._shown} is not to be trusted "
                f"({_tls_reason(error.certificate_error)}): check SCHEMA_REGISTRY_SSL_CA, and that the certificate "
                "carries the URL's host name"
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = self._settings.redacted(str(error).replace(self._url, "").strip() or type(error).__name__)
            raise RegistryDownError(
                f"no answer from the registry at {self._shown} ({why}): check SCHEMA_REGISTRY_URL and that it runs"
            ) from None
        if status == 401:
            raise ConfigError(
                f"the registry at {self._shown} refused us (401): check SCHEMA_REGISTRY_USERNAME, "
                "_PASSWORD or _BEARER_TOKEN"
            )
        if status == 403:
            raise DeniedError(
                f"the registry at {self._shown} refused us {method} {path} (403): a worker needs to read, setup to "
                "write, too (docs/reference/security.md); check SCHEMA_REGISTRY_USERNAME or _BEARER_TOKEN"
            )
        if status >= 500 or status in (408, 429):
            raise RegistryDownError(f"the registry at {self._shown} failed: {status} {content[:200]!r}")
        try:
            decoded = msgspec.json.decode(content)
        except msgspec.DecodeError:
            decoded = None
        if not isinstance(decoded, dict | list) or (status == 404 and "error_code" not in decoded):
            raise self._no_registry(path, status)
        return status, decoded

    def _no_registry(self, path: str, status: int) -> ConfigError:
        return ConfigError(
            f"{self._shown}{path} ({status}) is no schema registry: SCHEMA_REGISTRY_URL must name the "
            "Confluent-compatible API (Apicurio: …/apis/ccompat/v7)"
        )

    async def ping(self) -> None:
        """Raises RegistryDownError while the registry doesn't answer."""
        await self._ask("GET", "/subjects")

    async def schema(self, schema_id: int) -> str | None:
        """The text of the schema with this id, None if there is none."""
        status, answer = await self._ask("GET", f"/schemas/ids/{schema_id}")
        if status == 404:
            return None
        if status != 200:
            raise ConfigError(f"the registry refused to show schema id {schema_id}: {_why(answer)}")
        if not isinstance(answer, dict) or "schema" not in answer:
            raise self._no_registry(f"/schemas/ids/{schema_id}", status)
        if answer.get("schemaType", "AVRO") != "AVRO":
            return None
        return str(answer["schema"])

    async def schema_ids(self, prefix: str) -> dict[str, int]:
        """Full record name to id of our schemas. Raises ConfigError naming the remedy when one is missing."""
        subjects = [(s, r) for topic in TOPICS for s, r in topic.subjects(prefix).items()]
        found = await asyncio.gather(*(self._lookup(subject, record) for subject, record in subjects))
        return {record: schema_id for (_, record), schema_id in zip(subjects, found, strict=True)}

    async def _lookup(self, subject: str, record: str) -> int:
        status, answer = await self._ask("POST", f"/subjects/{subject}", {"schema": SCHEMAS[record]})
        if status == 200:
            return int(answer["id"])
        raise ConfigError(
            f"the registry has no version of subject {subject} that is ours ({_why(answer)}): "
            "run `conference-pipeline setup`"
        )

    async def standing(self, subject: str, record: str) -> SchemaStatus:
        """How a subject stands to our schema of `record`; nothing is changed. Raises RegistryDownError, ConfigError."""
        schema = {"schema": SCHEMAS[record]}
        status, answer = await self._ask("POST", f"/subjects/{subject}", schema)
        if status == 200:
            return "ours" if await self._has_level(f"/config/{subject}") else "level"
        if isinstance(answer, dict) and answer.get("error_code") == NO_SUBJECT:
            return "missing"
        _, fit = await self._ask("POST", f"/compatibility/subjects/{subject}/versions", schema)
        return "incompatible" if isinstance(fit, dict) and fit.get("is_compatible") is False else "older"

    async def register(self, subject: str, record: str) -> bool:
        """Register our schema under `subject`; False if it was there. Raises ConfigError when it is incompatible."""
        status, _ = await self._ask("POST", f"/subjects/{subject}", {"schema": SCHEMAS[record]})
        known = status == 200
        # The level comes before the first version, and per subject: a registry's global level isn't ours to set.
        refused = await self._level(subject)
        if refused and not known:  # a registry that wants the subject first
            await self._version(subject, record)
            refused = await self._level(subject)
        if refused:
            raise ConfigError(f"the registry won't set {COMPATIBILITY} for {subject}: {refused}")
        if not known:
            await self._version(subject, record)
        return not known

    async def _level(self, subject: str) -> str | None:
        """Set the subject's compatibility level; why that was refused."""
        path = f"/config/{subject}"
        if await self._has_level(path):
            return None
        status, answer = await self._ask("PUT", path, {"compatibility": COMPATIBILITY})
        if status == 200 or await self._has_level(path):  # somebody else's setup may have been faster
            return None
        return _why(answer)

    async def _has_level(self, path: str) -> bool:
        status, answer = await self._ask("GET", path)
        return status == 200 and answer.get("compatibilityLevel") == COMPATIBILITY

    async def _version(self, subject: str, record: str) -> bool:
        status, answer = await self._ask("POST", f"/subjects/{subject}/versions", {"schema": SCHEMAS[record]})
        if status == 409:
            raise ConfigError(
                f"subject {subject} holds a version that our {record} is not {COMPATIBILITY} with "
                f"({_why(answer)}): use another PIPELINE_TOPIC_PREFIX, or a version of this program that fits"
            )
        if status != 200:
            raise ConfigError(f"the registry refused {subject}: {_why(answer)}")
        return True

    async def delete(self, subject: str) -> None:
        """Remove a subject with all its versions, if it is there."""
        for query in ("", "?permanent=true"):  # a registry wants it in two steps
            await self._ask("DELETE", f"/subjects/{subject}{query}")


def _tls_reason(error: Exception) -> str:
    return str(getattr(error, "verify_message", "") or error)


def _why(answer: Any) -> str:
    if isinstance(answer, dict):
        return str(answer.get("message") or answer.get("error_code") or answer)
    return str(answer)
