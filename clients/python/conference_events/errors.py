"""Errors of this package. Each message is one line that names what, where and the remedy."""


class ConferenceEventsError(Exception):
    """Base class of this package's errors."""


class UnknownTypeError(ConferenceEventsError):
    """An event or record of a type that this version of the package does not know. Skip it."""


class InvalidDataError(ConferenceEventsError):
    """Bytes that are not what they should be."""


class RegistryError(ConferenceEventsError):
    """The schema registry can't be used."""
