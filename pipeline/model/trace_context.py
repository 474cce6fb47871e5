"""The trace context of a signal, copied to its events (W3C Trace Context, https://www.w3.org/TR/trace-context/).

The pipeline creates no spans and needs no SDK: a consumer's span becomes a child of the producer's span.
"""

from __future__ import annotations

import re
from typing import Final

Headers = tuple[tuple[str, bytes], ...]  # of a Kafka record, in order

TRACE_HEADERS: Final = ("traceparent", "tracestate")

# Version 00 is the only version; an id of zeros only is invalid (§3.2.2).
_PARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# An over-long tracestate may be dropped (§3.3.1.5); its members are not checked.
_STATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")


def context(headers: Headers) -> Headers:
    """Return `traceparent` and, if present, `tracestate`, unchanged; nothing unless `traceparent` is well-formed."""
    found = dict(headers)  # the last one counts if a header is repeated, as in Kafka's own clients
    parent, state = found.get("traceparent"), found.get("tracestate")
    if not parent or not _PARENT.fullmatch(parent):
        return ()
    if not state or not _STATE.fullmatch(state):
        return (("traceparent", parent),)
    return ("traceparent", parent), ("tracestate", state)
