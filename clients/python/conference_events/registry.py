"""A client of the schema registry: the text of a schema by its id."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Final

from conference_events.errors import RegistryError

TRIES: Final = 4  # with pauses of 0.25, 0.5 and 1 s between them
MAX_ANSWER: Final = 1 << 20  # bytes


class Registry:
    """A schema registry with the Confluent API. Calls block; schemas are never asked for twice.

    `url` is that of `SCHEMA_REGISTRY_URL` (for Apicurio it ends in `/apis/ccompat/v7`). `user` and `password` are for
    basic authentication, `ssl_context` for a private CA or a client certificate.
    """

    def __init__(
        self, url: str, *, user: str = "", password: str = "", ssl_context: ssl.SSLContext | None = None
    ) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise RegistryError(f"{url!r} is no URL of a schema registry: expected http:// or https://")
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if user:
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {login}"
        self._ssl = ssl_context
        self._texts: dict[int, str] = {}

    def schema(self, number: int) -> str:
        """Return the text of a schema. Raises RegistryError, after several tries if the registry does not answer."""
        if number not in self._texts:
            self._texts[number] = self._fetch(f"{self._url}/schemas/ids/{number}")
        return self._texts[number]

    def _fetch(self, url: str) -> str:
        reason = ""
        for pause in range(TRIES):
            if pause:
                time.sleep(0.125 * 2**pause)
            try:
                request = urllib.request.Request(url, headers=self._headers)
                with urllib.request.urlopen(request, timeout=10, context=self._ssl) as answer:
                    return str(json.loads(answer.read(MAX_ANSWER))["schema"])
            except urllib.error.HTTPError as error:
                with error:
                    reason = f"answered {error.code}"
                if error.code < 500 and error.code not in (408, 429):
                    break
            except (ValueError, KeyError, TypeError):
                reason = "did not answer as a schema registry does"
                break
            except (OSError, http.client.HTTPException) as error:
                reason = f"does not answer ({getattr(error, 'reason', error)})"
        raise RegistryError(f"{url} {reason}: check the URL and the login of the schema registry")
