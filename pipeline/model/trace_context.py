"""The trace context of a signal, which its events carry on (W3C Trace Context, https://www.w3.org/TR/trace-context/).

The pipeline makes no span of its own and needs no SDK: a consumer's span becomes a child of the one that the producer
of the signal named. Pure.
"""

from __future__ import annotations

import re
from typing import Final

Headers = tuple[tuple[str, bytes], ...]
"""The headers of a Kafka record, in order."""

# Version 00 is the only one there is; ids of zeros alone are invalid (§3.2.2).
_PARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# A longer one may be left away whole (§3.3.1.5); its members are the concern of who knows their vendors.
_STATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")


def context(headers: Headers) -> Headers:
    """`traceparent`, and `tracestate` if it is there, as they came; nothing unless `traceparent` is well-formed, so
    that no producer's junk is spread. Of a header that is repeated the last counts, as in Kafka's own clients."""
    found = dict(headers)
    parent, state = found.get("traceparent"), found.get("tracestate")
    if not parent or not _PARENT.fullmatch(parent):
        return ()
    if not state or not _STATE.fullmatch(state):
        return (("traceparent", parent),)
    return ("traceparent", parent), ("tracestate", state)
