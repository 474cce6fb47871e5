"""The apps that may use the gateway, from a TOML file that is read again when it changes.

[apps.my-app]
keys = ["<SHA-256 of a key, in hex>"]    # several, for rotation
requests_per_second = 500                # optional
streams = 1000                           # optional
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import ConfigError

APP_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
CHECK_SECONDS: Final = 1.0
"""Seconds between two looks whether the file has changed."""
_NO_DIGEST: Final = "0" * 64


class App(BaseModel):
    """One app: the digests of its keys and its own limits; None: those of the settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...]
    requests_per_second: Annotated[float, Field(gt=0)] | None = None
    streams: Annotated[int, Field(ge=0)] | None = None

    def has_key(self, key: str) -> bool:
        """Return whether this is one of its keys, in a time that does not depend on the key."""
        digest = key_digest(key)
        found = False
        for one in self.keys:
            found |= hmac.compare_digest(one, digest)
        return found


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    apps: dict[Annotated[str, Field(pattern=rf"^{APP_ID.pattern}$")], App]


NOBODY: Final = App(keys=(_NO_DIGEST,))
"""Compared with the key of an unknown app, which takes as long as a wrong key."""


def key_digest(key: str) -> str:
    """Return the SHA-256 of a key in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def new_key() -> str:
    """Return a new key: 256 random bits."""
    return secrets.token_urlsafe(32)


def read_apps(path: Path) -> dict[str, App]:
    """Return the apps of a file. Raises ConfigError; its line never shows a digest."""
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).apps
    except OSError as error:
        raise ConfigError(f"GATEWAY_APPS_FILE={path}: {error.strerror}: make the file readable") from None
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"GATEWAY_APPS_FILE={path}: {where}") from None
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise ConfigError(f"GATEWAY_APPS_FILE={path}: it is no TOML: {error}") from None


class Apps:
    """The apps of a file. A broken file changes nothing: `broken` is its fault, "" without one.

    Raises ConfigError on construction if the file is broken.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._stamp = self._read_stamp()
        self._apps = read_apps(self._path)
        self.broken = ""

    def find(self, app_id: str, key: str) -> App | None:
        """Return the app, None if there is none or the key is wrong."""
        found = self._apps.get(app_id)
        return found if (found or NOBODY).has_key(key) and found is not None else None

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def look(self, notice: Callable[[str], object]) -> None:
        """Read the file if it has changed. `notice` receives one line about the result."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._apps = read_apps(self._path)
        except ConfigError as error:
            self.broken = str(error)
            notice(f"{error}; the apps stay as they were")
        else:
            self.broken = ""
            notice(f"read {len(self._apps)} apps")

    async def watch(self, notice: Callable[[str], object]) -> None:
        """Look every second until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            self.look(notice)
