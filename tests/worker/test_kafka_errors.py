"""Errors of the Kafka client, and what they mean for an operator."""

from __future__ import annotations

import pytest
from aiokafka import errors as Errors

from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError
from pipeline.settings import Settings
from pipeline.worker.kafka_errors import fatal


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (Errors.ProducerFenced(), FencedError, "PIPELINE_TRANSACTIONAL_ID"),
        (Errors.InvalidProducerEpoch(), FencedError, "PIPELINE_TRANSACTIONAL_ID"),
        (Errors.UnknownMemberIdError(), FencedError, "continued without this worker"),
        (Errors.IllegalGenerationError(), FencedError, "restart it"),
        (Errors.TopicAuthorizationFailedError("x"), DeniedError, "x: see docs/reference/security.md"),
        (
            Errors.TransactionalIdAuthorizationFailed("x"),
            DeniedError,
            "lacks Write on every transactional id that begins with",
        ),
        (Errors.InvalidTransactionTimeout(), ConfigError, "raise its transaction.max.timeout.ms"),
        (Errors.KafkaTimeoutError(), FatalError, "nothing of the unit was committed: restart the worker"),
    ],
)
def test_kafka_errors_name_the_remedy(settings: Settings, error: Exception, kind: type[FatalError], text: str) -> None:
    found = fatal(error, settings)
    assert type(found) is kind
    assert text in str(found)
    assert "\n" not in str(found)
    wrapped = Errors.KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = error
    assert type(fatal(wrapped, settings)) is kind
