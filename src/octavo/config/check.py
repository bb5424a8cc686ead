"""A merged table as a typed value, or one error that names the key, what was found, what is allowed.

Reading is one call to msgspec. Only when that fails is the table walked beside the types, to find
the value that is wrong and say so in the words of the house.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from octavo.config.toml_lines import Keys
from octavo.policy.reader import Reader
from octavo.policy.words import choices, found, suggestion

T = TypeVar("T", bound=msgspec.Struct)
Kind: TypeAlias = Any  # a type as msgspec.inspect describes it; importing it costs every start
Tables = Mapping[Keys, type[msgspec.Struct]]

WORDS: Final = {
    "StrType": "a string",
    "BoolType": "true or false",
    "FloatType": "a number",
    "DictType": "a table",
    "StructType": "a table",
    "VarTupleType": "a list",
    "ListType": "a list",
}

TABLE_KINDS: Final = ("StructType", "DictType")
LIST_KINDS: Final = ("VarTupleType", "ListType")


def typed(table: Mapping[str, object], kind: type[T], reader: Reader) -> T:
    """The table as a value of `kind`; unknown keys are passed over. Raises ConfigError."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as wrong:
        import msgspec.inspect as types  # noqa: PLC0415 -- only for a table that is wrong

        for keys, message in _wrong(table, types.type_info(kind), ()):
            raise reader.problem(keys, message) from wrong
        raise reader.problem((), str(wrong)) from wrong


def unknown_keys(table: Mapping[str, object], tables: Tables) -> Iterator[tuple[Keys, str]]:
    """Each key that means nothing, with ` (did you mean "x"?)` or nothing.

    `tables` says which tables have a fixed set of keys; `*` in a path stands for any name.
    """
    yield from _unknown(table, tables, (), ())


def _unknown(
    table: Mapping[str, object], tables: Tables, keys: Keys, pattern: Keys
) -> Iterator[tuple[Keys, str]]:
    kind = tables.get(pattern)
    known = None if kind is None else kind.__struct_encode_fields__
    for key, value in table.items():
        if known is not None and key not in known:
            yield (*keys, key), suggestion(key, known)
        elif isinstance(value, Mapping):
            for step in (key, "*"):
                if any(path[: len(pattern) + 1] == (*pattern, step) for path in tables):
                    yield from _unknown(value, tables, (*keys, key), (*pattern, step))
                    break


def _wrong(value: object, kind: Kind, keys: Keys) -> Iterator[tuple[Keys, str]]:
    """Where a value does not fit its type, deepest first, in the order they were written."""
    name = type(kind).__name__
    match name:
        case "UnionType":
            yield from _wrong_union(value, kind, keys)
        case "StructType" if isinstance(value, Mapping):
            yield from _wrong_struct(value, kind, keys)
        case "DictType" if isinstance(value, Mapping):
            for key, item in value.items():
                yield from _wrong(item, kind.value_type, (*keys, key))
        case "VarTupleType" | "ListType" if isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from _wrong(item, kind.item_type, (*keys, str(index)))
        case _:
            if not _fits(value, kind):
                yield keys, _expected(value, [kind])


def _wrong_struct(
    value: Mapping[str, object], kind: Kind, keys: Keys
) -> Iterator[tuple[Keys, str]]:
    for field in kind.fields:
        if field.encode_name in value:
            yield from _wrong(value[field.encode_name], field.type, (*keys, field.encode_name))
        elif field.required:
            yield keys, f"`{field.encode_name}` is missing"


def _wrong_union(value: object, kind: Kind, keys: Keys) -> Iterator[tuple[Keys, str]]:
    inside = TABLE_KINDS if isinstance(value, Mapping) else LIST_KINDS
    outer = [one for one in kind.types if type(one).__name__ in inside]
    if isinstance(value, Mapping | list | tuple) and outer:
        yield from _wrong(value, outer[0], keys)
    elif not any(_fits(value, one) for one in kind.types):
        yield keys, _expected(value, [t for t in kind.types if type(t).__name__ != "NoneType"])


def _fits(value: object, kind: Kind) -> bool:
    try:
        msgspec.convert(value, _plain(kind))
    except msgspec.ValidationError:
        return False
    return True


def _plain(kind: Kind) -> Kind:
    """A type to convert to, for the kinds of which one wrong value is said by itself."""
    match type(kind).__name__:
        case "StrType":
            return str
        case "BoolType":
            return bool
        case "IntType":
            return Annotated[int, msgspec.Meta(ge=kind.ge, le=kind.le)]
        case "FloatType":
            return float
        case "LiteralType":
            return Literal[tuple(kind.values)]
        case "VarTupleType" | "ListType":
            return list
        case "StructType" | "DictType":
            return dict
        case "NoneType":
            return None
        case _:
            return Any


def _expected(value: object, kinds: list[Kind]) -> str:
    """`expected a, b or c, found "d" (did you mean "b"?)`."""
    words: list[str] = []
    names: list[str] = []
    for kind in kinds:
        match type(kind).__name__:
            case "LiteralType":
                names += [str(one) for one in kind.values]
                words += [str(one) for one in kind.values]
            case "IntType":
                words.append(_range(kind.ge, kind.le))
            case name:
                words.append(WORDS.get(name, "something else"))
    near = suggestion(value, names) if isinstance(value, str) and names else ""
    return f"expected {choices(words)}, found {found(value)}{near}"


def _range(low: int | None, high: int | None) -> str:
    if low is None:
        return "a whole number"
    return f"a whole number from {low}" + ("" if high is None else f" to {high}")
