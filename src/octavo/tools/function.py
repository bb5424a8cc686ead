"""Python functions as tools: name, description and schema come from the function.

    @tool
    async def ticket(number: int) -> str:
        \"\"\"Read one ticket of our tracker.\"\"\"

What it returns goes to the model: text as it is, anything else as JSON. What it raises is told to
the model, and the turn goes on.
"""

import asyncio
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, ParamSpec, TypeVar, get_type_hints, overload

import msgspec

from octavo.model.request import FunctionTool as Spec
from octavo.protocol.content import InputImage, InputText
from octavo.protocol.errors import UsageError
from octavo.protocol.events import ItemCompleted, ItemStarted
from octavo.protocol.items import ToolUse
from octavo.tools.arguments import parsed
from octavo.tools.base import ToolCall, ToolContext, ToolOutput, failed

P = ParamSpec("P")
R = TypeVar("R")
PLAIN: Final = (type(None), bool, int, float, str)
"""Defaults that stand in the schema."""
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class FunctionTool(Generic[P, R]):
    """A function the model may call; it can still be called from Python."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        parallel: bool = False,
    ) -> None:
        """Raises UsageError for a function whose arguments have no JSON schema."""
        self.function = function
        self.parallel = parallel
        self.name: str = name if name is not None else str(getattr(function, "__name__", ""))
        self.__name__ = self.name
        self.__doc__ = description or inspect.getdoc(function) or ""
        if not NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot be the name of a tool",
                hint="Letters, digits, `_` and `-`, at most 64; set `name`.",
            )
        self._arguments, self._wants_context = arguments_of(function, self.name)
        self.spec = Spec(
            name=self.name,
            description=self.__doc__,
            parameters=schema_of(self._arguments, self.name),
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Call it. Raises UsageError for arguments that do not fit."""
        given = parsed(call, self._arguments)
        values: dict[str, Any] = {
            name: getattr(given, name) for name in self._arguments.__struct_fields__
        }
        if self._wants_context is not None:
            values[self._wants_context] = context
        item = ToolUse(id=call.item_id, tool=self.name, arguments=call.arguments)
        context.emit(ItemStarted(turn_id=context.turn_id, item=item))
        answer = failed("aborted")
        try:
            answer = await self._answer(values)
        finally:
            done = msgspec.structs.replace(
                item, output=answer.text, status="completed" if answer.success else "failed"
            )
            context.emit(ItemCompleted(turn_id=context.turn_id, item=done))
        return answer

    async def _answer(self, values: dict[str, Any]) -> ToolOutput:
        function: Callable[..., Any] = self.function
        try:
            if inspect.iscoroutinefunction(function):
                result = await function(**values)
            else:
                result = await asyncio.to_thread(function, **values)
            return output_of(result)
        except Exception as error:  # noqa: BLE001 - the function is the user's: the model is told
            return failed(f"{self.name} failed: {type(error).__name__}: {error}")


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None, parallel: bool = False
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parallel: bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Make a tool of a typed function. Use bare or with options.

    Name, description and schema come from the function: annotations of anything msgspec can
    decode, defaults make arguments optional, the docstring tells the model what it does. A
    parameter annotated `ToolContext` gets the context of the call. A function that is not `async`
    runs in a thread. `parallel`: may run beside other tools. Raises UsageError.
    """

    def made(one: Callable[P, R]) -> FunctionTool[P, R]:
        return FunctionTool(one, name=name, description=description, parallel=parallel)

    return made if function is None else made(function)


def arguments_of(
    function: Callable[..., Any], name: str
) -> tuple[type[msgspec.Struct], str | None]:
    """A struct of the parameters, and the name of the one that wants the context."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(f"tool {name}: an annotation cannot be resolved: {error}") from error
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    wants_context = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (
            parameter.POSITIONAL_ONLY,
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise UsageError(f"tool {name}: {parameter} cannot be given by name")
        if hints.get(parameter.name) is ToolContext:
            wants_context = parameter.name
            continue
        if parameter.name not in hints:
            raise UsageError(
                f"tool {name}: parameter {parameter.name!r} has no annotation",
                hint="Write its type: the model needs a schema.",
            )
        if parameter.default is parameter.empty:
            fields.append((parameter.name, hints[parameter.name]))
        else:
            default = parameter.default
            if not isinstance(default, PLAIN):
                default = msgspec.field(default_factory=partial(same, default))
            fields.append((parameter.name, hints[parameter.name], default))
    made = msgspec.defstruct(f"{name}_arguments", fields, kw_only=True, forbid_unknown_fields=True)
    return made, wants_context


def same(value: object) -> object:
    """A default as it is, whatever it is: msgspec takes only some kinds itself."""
    return value


def schema_of(arguments: type[msgspec.Struct], name: str) -> dict[str, Any]:
    """The JSON schema of the parameters. Raises UsageError for types that have none."""
    try:
        (top,), parts = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    except TypeError as error:
        raise UsageError(f"tool {name}: {error}") from error
    own = parts.pop(arguments.__name__)
    assert top is not None
    found = {key: value for key, value in own.items() if key != "title"}
    found.setdefault("required", [])
    found["additionalProperties"] = False
    return {**found, "$defs": parts} if parts else found


def output_of(result: object) -> ToolOutput:
    """What the model reads of a result."""
    match result:
        case ToolOutput():
            return result
        case None:
            return ToolOutput(output="")
        case str():
            return ToolOutput(output=result)
        case InputImage() | InputText():
            return ToolOutput(output=(result,))
        case _:
            return ToolOutput(output=msgspec.json.encode(result).decode())
