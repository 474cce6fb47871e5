"""An identity provider: a token endpoint for client credentials, and the keys (JWKS) that verify its tokens.

The tokens are signed (RS256), so that a broker and a registry verify them as in production.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
import uuid
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.fronts import Answer, Asked, serve

AUDIENCE = "kafka"


def _base64(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


class IdentityProvider:
    """Clients and their secrets are in `clients`; `life` is the life of new tokens in seconds.

    `issued` has the tokens, `failing` an answer that replaces the next ones. `claims` override those of new tokens.
    """

    def __init__(self) -> None:
        self.url = ""
        self.clients: dict[str, str] = {}
        self.life = 300.0
        self.issued: list[str] = []
        self.asked: list[dict[str, list[str]]] = []
        self.failing: Answer | None = None
        self.claims: dict[str, Any] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._published = self.key.public_key().public_numbers()

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/jwks":
            return 200, json.dumps({"keys": [self._jwk()]}).encode()
        if asked.path != "/token":
            return 404, b""
        if self.failing:
            return self.failing
        form = parse_qs(asked.body.decode())
        self.asked.append(form)
        scheme, _, login = asked.headers.get("authorization", "").partition(" ")
        client, _, secret = (unquote_plus(part) for part in b64decode(login).decode().partition(":"))
        if scheme != "Basic" or form["grant_type"] != ["client_credentials"] or self.clients.get(client) != secret:
            return 401, b'{"error":"invalid_client","error_description":"unknown client or wrong secret"}'
        self.issued.append(self.sign(client))
        return 200, json.dumps({"access_token": self.issued[-1], "expires_in": self.life}).encode()

    def sign(self, client: str) -> str:
        """Return a token of this client."""
        now = time.time()
        header = {"alg": "RS256", "kid": "1", "typ": "JWT"}
        claims = {
            "iss": self.url,
            "sub": client,
            "aud": AUDIENCE,
            "iat": int(now),
            "exp": int(now + self.life + 0.999),
            "jti": str(uuid.uuid4()),
            "scope": "events",
            **self.claims,
        }
        text = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        return f"{text}.{_base64(self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def _jwk(self) -> dict[str, str]:
        numbers = {"n": self._published.n, "e": self._published.e}
        parts = {name: _base64(value.to_bytes((value.bit_length() + 7) // 8)) for name, value in numbers.items()}
        return {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", **parts}


@contextlib.contextmanager
def identity_provider(context: ssl.SSLContext | None = None) -> Iterator[IdentityProvider]:
    """Run an identity provider for the block."""
    provider = IdentityProvider()
    with serve(provider, context) as provider.url:
        yield provider
