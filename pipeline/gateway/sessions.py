"""Asks the platform whether a session belongs to an app."""

from __future__ import annotations

from typing import Final

import aiohttp

from pipeline.gateway.problems import unavailable

CHECK_SECONDS: Final = 2.0
REFUSED: Final = (403, 404)


class SessionCheck:
    """An asynchronous context manager. With an empty URL every session is allowed."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> SessionCheck:
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CHECK_SECONDS))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def allows(self, app: str, session: str) -> bool:
        """Return whether the session belongs to the app. Raises Problem (503) when the platform does not tell."""
        if not self._url:
            return True
        try:
            asked = self._client.get(self._url, params={"app_id": app, "session_uuid": session}, allow_redirects=False)
            async with asked as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        if 200 <= status < 300:
            return True
        if status in REFUSED:
            return False
        raise unavailable("session_check_failed", "the platform does not tell whose the session is")
