"""The errors of this package. `str(error)` is one line that names the fault, its place and the remedy.

PipelineError                 the base of all
├── SignalError               a value is not a valid signal: the worker writes a dead letter and continues (contract §4)
│   ├── BatchError            a batch of records can't be read (pipeline.kafka.record_reader)
│   └── NotJsonError          an input is not JSON (pipeline.engines.freeswitch.adapter.headers)
├── PackedError               a large batch must be unpacked first (pipeline.core.merge)
├── UnknownSchemaError        a value's schema id was not looked up yet (pipeline.model.decoders)
├── RegistryDownError         the schema registry is unavailable: retry (pipeline.kafka.schema_registry)
├── StaleViewError            the rooms view is not current: retry (pipeline.view.rooms_view)
├── EngineAwayError           a media engine can't be reached (pipeline.engines.engine)
├── UnfitError                an id or url can't be part of a command (pipeline.engines.media_files)
├── FrameError                a frame of the event socket can't be read (pipeline.engines.freeswitch.frames)
├── DemoError                 the demo published other events than expected (pipeline.demo.command_process)
└── FatalError                the process must exit with a code other than 0; its restart recovers the state
    ├── ConfigError           topics, partitions, schemas or settings do not match: an operator must act
    │   ├── DeniedError       a permission is missing
    │   └── UnavailableError  a server does not answer a command; it may later
    ├── FencedError           another worker took over the partitions or the transactional id
    └── LossError             signals, or their topic, were deleted unread (promise 6): `--accept-loss`
"""


class PipelineError(Exception):
    """The base of all errors of this package."""


class SignalError(PipelineError):
    """A value is not a valid signal. The text names the field, what was expected and what was found."""


class FatalError(PipelineError):
    """The process cannot continue."""


class ConfigError(FatalError):
    """The environment does not match the settings. The text names the difference and the remedy."""


class UnavailableError(ConfigError):
    """A server does not answer. It may later."""


class DeniedError(ConfigError):
    """A permission is missing. The text names the operation and the resource (docs/reference/security.md)."""


class FencedError(FatalError):
    """The broker rejected this worker's generation or producer epoch: another worker took over (KIP-447)."""


class LossError(FatalError):
    """Signals were deleted before they were processed. The text names how many, and where."""
