"""The file of retention rules: how long data of a kind is kept, by tenant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors import ConfigurationError
from audit.erasing import RetentionRule

MAX_FILE_BYTES = 1_000_000


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
    days: Annotated[int, Field(ge=0, le=36_500)]
    tenant: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    rules: Annotated[list[_Rule], Field(min_length=1, max_length=1000)]


def read_rules(path: Path) -> tuple[RetentionRule, ...]:
    """The rules of a YAML file.

    Raises:
        ConfigurationError: it cannot be read or is no such file; the message names the place.
    """
    import yaml

    try:
        with path.open("rb") as file:
            document = yaml.safe_load(file.read(MAX_FILE_BYTES))
        parsed = _File.model_validate(document)
    except OSError as error:
        raise ConfigurationError(f"the retention rules {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"the retention rules {path} are no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"the retention rules {path}: {place or 'file'}: {first['msg']}; expected"
            " 'rules:' with a list of {kind, days} and, where it is for one tenant, {tenant}"
        ) from error
    return tuple(RetentionRule(rule.kind, rule.days, rule.tenant) for rule in parsed.rules)
