"""Why a connection to Kafka failed: aiokafka reports only that it did."""

from __future__ import annotations

import ssl
from typing import Final

from aiokafka import errors as Errors
from aiokafka.conn import create_conn

from pipeline.errors import ConfigError
from pipeline.settings import Settings

DIAGNOSIS_SECONDS: Final = 5
"""Time limit of the diagnosis, per bootstrap server."""
_HINTS: Final = {
    "PLAINTEXT": " (if it requires TLS or a login, set KAFKA_SECURITY_PROTOCOL)",
    "SASL_PLAINTEXT": " (if it requires TLS, set KAFKA_SECURITY_PROTOCOL=SASL_SSL)",
    "SASL_SSL": " (if it has no TLS, change KAFKA_SECURITY_PROTOCOL)",
    "SSL": " (if it has no TLS, change KAFKA_SECURITY_PROTOCOL; if it requires a certificate, set KAFKA_SSL_CERT)",
}
"""Security protocol to the likely reason why a server closes the connection without an error."""


async def diagnose_connection(
    error: Errors.KafkaConnectionError, settings: Settings
) -> ConfigError | Errors.KafkaConnectionError:
    """Connect to each bootstrap server again, and return an error that names the reason.

    Returns ConfigError when a server answers and rejects this client, `error` when one accepts it by now, else a
    KafkaConnectionError with the reason of each server.
    """
    reasons = []
    for entry in settings.bootstrap_servers.split(","):
        server = entry.strip()
        try:
            await _connect(server, settings)
        except (OSError, Errors.KafkaError, TimeoutError) as failure:
            if rejection := _config_error(failure, server, settings):
                return rejection
            reasons.append(f"{server}: {_reason(failure)}")
        else:
            return error
    closed = any(word in reasons[0].lower() for word in ("closed", "reset"))
    hint = _HINTS[settings.security_protocol] if closed else ""
    return Errors.KafkaConnectionError("; ".join(reasons) + hint)


async def _connect(server: str, settings: Settings) -> None:
    host, _, port = server.rpartition(":")
    options = {key: value for key, value in settings.kafka().items() if key != "bootstrap_servers"}
    connection = await create_conn(host.strip("[]"), int(port), request_timeout_ms=DIAGNOSIS_SECONDS * 1000, **options)
    connection.close()


def _reason(failure: BaseException) -> str:
    reason = failure.args[0] if isinstance(failure, Errors.KafkaError) and failure.args else failure
    return str(reason) or type(failure).__name__


def _config_error(failure: BaseException, server: str, settings: Settings) -> ConfigError | None:
    """Return what the operator has to change, or None when the server is unreachable."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return ConfigError(
            f"the certificate of Kafka at {server} can't be verified ({failure.verify_message}): check KAFKA_SSL_CA, "
            "and that the certificate carries this host name"
        )
    if isinstance(failure, ssl.SSLError) and failure.reason == "WRONG_VERSION_NUMBER":
        return ConfigError(f"Kafka at {server} has no TLS: check KAFKA_SECURITY_PROTOCOL")
    if isinstance(failure, Errors.SaslAuthenticationFailed | Errors.AuthenticationFailedError):
        return ConfigError(
            f"Kafka at {server} rejected user {settings.sasl_username!r}: check KAFKA_SASL_USERNAME, "
            f"KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM (now {settings.sasl_mechanism})"
        )
    if isinstance(failure, Errors.UnsupportedSaslMechanismError | Errors.IllegalSaslStateError):
        return ConfigError(
            f"Kafka at {server} does not support {settings.sasl_mechanism} with {settings.security_protocol}: check "
            "KAFKA_SASL_MECHANISM and KAFKA_SECURITY_PROTOCOL"
        )
    return None
