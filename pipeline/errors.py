"""What can go wrong, and what to do about it.

PipelineError                 anything below; `str(error)` is one line that names the remedy
├── SignalError               bytes that are not a valid signal → dead letter, the worker goes on (contract §4)
└── FatalError                the process must end with exit code ≠ 0; its restart is the recovery
    ├── ConfigError           topics, partitions, schemas or settings do not fit: an operator must act
    │   └── DeniedError       a permission is missing
    ├── FencedError           somebody else owns our partitions or our transactional id
    └── LossError             signals were deleted unread (promise 6): needs `--accept-loss`
"""

from __future__ import annotations


class PipelineError(Exception):
    """Base of all errors of this package. `str()` of it is one line fit for a terminal."""


class SignalError(PipelineError):
    """Bytes that are no signal. The text says which field, what was expected and what was there."""


class FatalError(PipelineError):
    """The process can't go on."""


class ConfigError(FatalError):
    """The surroundings do not fit the settings; the text names the difference and the remedy."""


class DeniedError(ConfigError):
    """A permission is missing; the text names the operation and the resource (docs/reference/security.md)."""


class FencedError(FatalError):
    """The broker refused this worker's generation or producer epoch: another worker took over (KIP-447)."""


class LossError(FatalError):
    """Signals after a position were deleted before they were read; the text says how many and where."""
