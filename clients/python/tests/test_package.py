"""The package stands on its own."""

from __future__ import annotations

import subprocess
import sys


def loaded(statement: str) -> set[str]:
    """Return the top-level modules that a statement imports in a new interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_plain_import_loads_neither_kafka_nor_avro() -> None:
    assert not loaded("import conference_events") & {"aiokafka", "fastavro", "asyncio", "pipeline", "faust"}


def test_kafka_needs_neither_the_pipeline_nor_faust() -> None:
    found = loaded("import conference_events.kafka")
    assert "aiokafka" in found
    assert not found & {"pipeline", "faust", "mode"}
