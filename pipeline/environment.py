"""Reads settings classes from the environment. The settings of workers, gateways and consoles use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from pipeline.errors import ConfigError

Model = TypeVar("Model", bound=BaseSettings)


def variables(model: type[BaseSettings]) -> dict[str, str]:
    """Return the environment variable of each field of a settings class."""
    return {
        name: str(field.validation_alias.choices[0])  # type: ignore[union-attr]
        for name, field in model.model_fields.items()
    }


def loaded(model: type[Model], overrides: Mapping[str, Any]) -> Model:
    """Return settings of a class from the environment. Raises ConfigError; its one line names each invalid variable."""
    try:
        return model(**overrides)
    except ValidationError as error:
        known, reasons = variables(model), []
        for one in error.errors():
            name, reason = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
            variable = known.get(name, name)
            reasons.append(f"{variable}: {reason}" if variable else reason)  # else the reason names its variables
        raise ConfigError("invalid settings: " + "; ".join(reasons)) from None
