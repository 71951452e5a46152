"""Whether values that were read from JSON have the types of a record's fields: stored data may come from anywhere.

A record is a dataclass whose fields are text, numbers, yes/no, enums, tuples of these, records, or mappings from text.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Fits = Callable[[Any], bool]


def check(record: DataclassInstance) -> None:
    """Raises TypeError, which names the field, if a field of the record holds a value of another type."""
    for name, fits, form in _checks(type(record)):
        if not fits(getattr(record, name)):
            raise TypeError(f"{name} is not {form}")


@cache
def _checks(kind: type[DataclassInstance]) -> tuple[tuple[str, Fits, str], ...]:
    hints = get_type_hints(kind)
    return tuple((item.name, _fits(hints[item.name]), _form(hints[item.name])) for item in fields(kind))


def _fits(hint: Any) -> Fits:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        either = [_fits(each) for each in inner]
        return lambda value: any(fits(value) for fits in either)
    if origin is tuple:
        item = _fits(inner[0])
        return lambda value: isinstance(value, tuple) and all(map(item, value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        of = _fits(inner[1])
        # a JSON object has no other keys than text
        return lambda value: isinstance(value, dict) and all(map(of, value.values()))
    if hint is float:
        return lambda value: type(value) in (int, float) and math.isfinite(value)
    if hint is object:
        return lambda value: True  # noqa: ARG005
    if hint is type(None):
        return lambda value: value is None
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: isinstance(value, hint) and _whole(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda value: isinstance(value, hint)
    return lambda value: type(value) is hint  # True is an int in Python


def _whole(record: DataclassInstance) -> bool:
    return all(fits(getattr(record, name)) for name, fits, _ in _checks(type(record)))


def _form(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is tuple:
        return "a list of the right things"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a table of the right things"
    return {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}.get(hint, "of its type")
