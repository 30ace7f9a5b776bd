"""The types that all sections use: quantities with units, and a mapping that takes no unknown key."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from ecco_emu.core import units

Rate = Annotated[
    float,
    BeforeValidator(units.parse_rate),
    PlainSerializer(units.format_rate, return_type=str),
    WithJsonSchema({"type": "string", "description": "a rate: 6mbit, 800kbit"}),
]


Time = Annotated[
    float,
    BeforeValidator(units.parse_time),
    PlainSerializer(units.format_time, return_type=str),
    WithJsonSchema({"type": "string", "description": "a time: 20s, 200ms"}),
]


Length = Annotated[
    float,
    BeforeValidator(units.parse_length),
    PlainSerializer(units.format_length, return_type=str),
    WithJsonSchema({"type": "string", "description": "a length: 12m"}),
]


Fraction = Annotated[
    float,
    BeforeValidator(units.parse_fraction),
    PlainSerializer(units.format_fraction, return_type=str),
    WithJsonSchema({"type": "string", "description": "a percentage: 0.5%"}),
    Field(ge=0, le=1),
]


Whole = Annotated[int, Field(strict=True)]
"""A whole number, written as one: neither ``true`` nor ``"3"``."""


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number without a unit, written as one."""


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]
"""The name of a camera or a district: it also stands in paths, in names of files and on the command line."""


def name_in_yaml(model: type) -> str:
    """A model's name for people: without ``Section``, which tells classes apart and means nothing in YAML."""
    return model.__name__.removesuffix("Section")


class Strict(BaseModel):
    """A mapping that takes no unknown key.

    The docstrings of its fields are the meanings in docs/reference/scenario.md and in the JSON Schema.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=False,  # defaults are in base units already; the validators read text with units
        use_attribute_docstrings=True,
        model_title_generator=name_in_yaml,
    )
