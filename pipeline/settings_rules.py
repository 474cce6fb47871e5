"""Which settings belong together, and which variables look like a misspelt setting. Pure.

`Settings` refuses what contradicts these tables, so every command does. The chart's template `_rules.tpl` is generated
from the same tables (tools/chart_rules.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

When = Mapping[str, tuple[str, ...]]
"""A condition: each of these fields of `Settings` has one of these values."""

SASL: Final[When] = {"security_protocol": ("SASL_SSL", "SASL_PLAINTEXT")}
TLS: Final[When] = {"security_protocol": ("SSL", "SASL_SSL")}
PASSWORD: Final[When] = {**SASL, "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")}
OAUTH: Final[When] = {**SASL, "sasl_mechanism": ("OAUTHBEARER",)}
MSK: Final[When] = {**SASL, "sasl_mechanism": ("AWS_MSK_IAM",)}
HTTPS: Final[When] = {"registry_scheme": ("https",)}

EFFECTIVE: Final[Mapping[str, When]] = {
    "sasl_mechanism": SASL,
    **dict.fromkeys(("sasl_username", "sasl_password"), PASSWORD),
    **dict.fromkeys(
        (
            "oauth_token_url",
            "oauth_client_id",
            "oauth_client_secret",
            "oauth_scope",
            "oauth_audience",
            "oauth_extensions",
        ),
        OAUTH,
    ),
    "oauth_ca": {**OAUTH, "oauth_scheme": ("https",)},
    "aws_region": MSK,
    **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key", "ssl_key_password", "ssl_verify_hostname"), TLS),
    **dict.fromkeys(("registry_ca", "registry_cert", "registry_key", "registry_key_password"), HTTPS),
    "registry_oauth_ca": {"registry_oauth_scheme": ("https",)},
}
"""A setting has an effect only under this condition. Without it, somebody relies on what does not happen."""
REQUIRED: Final[tuple[tuple[When, tuple[str, ...]], ...]] = (
    (PASSWORD, ("sasl_username", "sasl_password")),
    (OAUTH, ("oauth_token_url", "oauth_client_id", "oauth_client_secret")),
    (MSK, ("aws_region",)),
)
"""Under the condition, these settings must be set."""
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "ssl_cert": ("ssl_key",),
    "ssl_key": ("ssl_cert",),
    "ssl_key_password": ("ssl_key",),
    "registry_cert": ("registry_key",),
    "registry_key": ("registry_cert",),
    "registry_key_password": ("registry_key",),
    "registry_password": ("registry_username",),
    "registry_oauth_token_url": ("registry_oauth_client_id", "registry_oauth_client_secret"),
    **dict.fromkeys(
        ("registry_oauth_client_id", "registry_oauth_client_secret", "registry_oauth_scope", "registry_oauth_audience"),
        ("registry_oauth_token_url",),
    ),
}
"""A setting needs these others."""
REGISTRY_LOGINS: Final = ("registry_basic_in_url", "registry_username", "registry_token", "registry_oauth_token_url")
"""At most one of them may be set."""
DERIVED: Final[Mapping[str, tuple[str, str]]] = {
    "registry_scheme": ("registry_url", "an https:// URL"),
    "oauth_scheme": ("oauth_token_url", "an https:// URL"),
    "registry_oauth_scheme": ("registry_oauth_token_url", "an https:// URL"),
}
"""Fields of conditions that are read from another setting: that setting, and what its value must be."""


def contradictions(settings: Any, variables: Mapping[str, str], changed: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong, one line each. `variables` names each field; `changed` have not their default value."""
    has = set(changed)
    for field in has & EFFECTIVE.keys():
        if unmet := _unmet(settings, EFFECTIVE[field], variables):
            yield f"{variables[field]} has no effect without {unmet}: set that, or remove {variables[field]}"
    for when, fields in REQUIRED:
        if not _unmet(settings, when, variables):
            needing = " with ".join(f"{variables[field]}={getattr(settings, field)}" for field in when)
            yield from (f"{needing} needs {variables[field]}" for field in fields if field not in has)
    for field in has & NEEDS.keys():
        if missing := [variables[other] for other in NEEDS[field] if other not in has]:
            yield f"{variables[field]} needs {' and '.join(missing)}: set both or neither"
    logins = [variables.get(field, "a login in SCHEMA_REGISTRY_URL") for field in REGISTRY_LOGINS if field in has]
    if len(logins) > 1:
        yield f"{' and '.join(logins)} exclude each other: remove one"


def _unmet(settings: Any, when: When, variables: Mapping[str, str]) -> str:
    """Return the first unmet part of the condition, "" if it holds."""
    for field, allowed in when.items():
        if getattr(settings, field) not in allowed:
            if field in DERIVED:
                source, needed = DERIVED[field]
                return f"{needed} in {variables[source]}"
            return f"{variables[field]}={' or '.join(allowed)}"
    return ""


# --- misspelt variables ------------------------------------------------------------------------------------------

OTHERS: Final = ("CONFERENCE_PIPELINE_CACHE", "CONFERENCE_PIPELINE_MAVEN_URL", "CONFERENCE_PIPELINE_PROFILES")
"""Variables of this program that are no settings."""
_LIKENESS: Final = 0.86
"""Least similarity of names (difflib): one letter more in the shortest, or three more in the longest."""
ALIASES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("KAFKA_BROKERS", "KAFKA_BROKER", "KAFKA_BROKER_LIST", "KAFKA_METADATA_BROKER_LIST", "KAFKA_URL"),
        "KAFKA_BOOTSTRAP_SERVERS",
    ),
    **dict.fromkeys(("KAFKA_SASL_PLAIN_USERNAME", "KAFKA_USERNAME"), "KAFKA_SASL_USERNAME"),
    **dict.fromkeys(("KAFKA_SASL_PLAIN_PASSWORD", "KAFKA_PASSWORD"), "KAFKA_SASL_PASSWORD"),
    "KAFKA_SASL_JAAS_CONFIG": "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
    **dict.fromkeys(("KAFKA_SSL_CA_LOCATION", "KAFKA_SSL_CAFILE", "KAFKA_SSL_TRUSTSTORE_LOCATION"), "KAFKA_SSL_CA"),
    **dict.fromkeys(
        ("KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYSTORE_LOCATION"), "KAFKA_SSL_CERT"
    ),
    **dict.fromkeys(("KAFKA_SSL_KEY_LOCATION", "KAFKA_SSL_KEYFILE"), "KAFKA_SSL_KEY"),
    "KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM": "KAFKA_SSL_VERIFY_HOSTNAME",
    "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "KAFKA_OAUTH_TOKEN_URL",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": "KAFKA_OAUTH_CLIENT_ID",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "KAFKA_OAUTH_CLIENT_SECRET",
    "KAFKA_SASL_OAUTHBEARER_SCOPE": "KAFKA_OAUTH_SCOPE",
    "KAFKA_SASL_OAUTHBEARER_EXTENSIONS": "KAFKA_OAUTH_EXTENSIONS",
    "KAFKA_GROUP_ID": "PIPELINE_GROUP_ID",
    "KAFKA_TRANSACTIONAL_ID": "PIPELINE_TRANSACTIONAL_ID",
    "KAFKA_SESSION_TIMEOUT_MS": "PIPELINE_SESSION_TIMEOUT_SECONDS",
    "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO": "SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD",
    "SCHEMA_REGISTRY_SSL_CA_LOCATION": "SCHEMA_REGISTRY_SSL_CA",
}  # fmt: skip
"""Names in the style of other Kafka clients, and the setting that is meant."""
_PREFIXES: Final = ("KAFKA_", "SCHEMA_REGISTRY_", "PIPELINE_", "CONFERENCE_PIPELINE_", "GATEWAY_")
_CLIENT_STYLE: Final = re.compile(r"(kafka|schema[._]registry|bootstrap|security|sasl|ssl)\.[a-z0-9._]+")
"""A property of a Kafka client, such as `security.protocol`."""
_SERVICE_LINK: Final = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_\w+)$")
"""What Kubernetes adds for a service that is called `kafka` or `schema-registry`."""


def misspelt(names: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the variables without an effect that resemble a known one, each with what is meant."""
    settings = {*known, *OTHERS}
    for name in sorted(names):
        if name in settings or _SERVICE_LINK.search(name):
            continue
        upper = re.sub(r"[.-]", "_", name).upper()
        if not upper.startswith(_PREFIXES):
            if not _CLIENT_STYLE.fullmatch(name):
                continue
            upper = f"KAFKA_{upper}"
        meant = upper if upper in settings else ALIASES.get(upper)
        if close := meant or next(iter(difflib.get_close_matches(upper, settings, 1, _LIKENESS)), None):
            yield name, close
