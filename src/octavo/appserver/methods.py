"""The table of methods: what each takes and answers, which tier it belongs to, and the function that does it.

Dispatch, the schema and the reference page are made from this table.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from octavo.appserver.errors import MethodError, invalid
from octavo.appserver.params import Nothing
from octavo.appserver.results import RESULTS, Empty
from octavo.rpc.messages import METHOD_NOT_FOUND, Request

if TYPE_CHECKING:
    from octavo.appserver.connection import Connection
    from octavo.appserver.server import Server

Tier = Literal["core", "extended", "cloud", "absent"]
Do = Callable[["Server", "Connection", Any], Awaitable[Any]]


class Method(Struct, frozen=True, kw_only=True):
    """One method."""

    name: str
    params: type[Struct]
    result: type[Struct]
    tier: Tier
    do: Any
    """`async (server, connection, params) -> JSON value`."""
    about: str
    """One sentence for the reference page."""


class Table:
    """Methods by name; filled by the modules that carry them out."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def method(
        self, name: str, params: type[Struct] = Nothing, *, tier: Tier = "core"
    ) -> Callable[[Do], Do]:
        """Declares the function below as the method with this name."""

        def declare(do: Do) -> Do:
            about = (do.__doc__ or "").strip().partition("\n")[0]
            self.methods[name] = Method(
                name=name,
                params=params,
                result=RESULTS.get(name, Empty),
                tier=tier,
                do=do,
                about=about,
            )
            return do

        return declare


def parsed(method: Method, request: Request) -> Struct:
    """The parameters of a request. Raises MethodError in the words clients know."""
    if request.params is None:
        required = [f for f in msgspec.structs.fields(method.params) if f.required]
        if required:
            raise invalid("Invalid request: missing field `params`")
        return method.params()
    try:
        found: Struct = msgspec.json.decode(request.params, type=method.params)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise invalid(f"Invalid request: {said(error)}") from error
    return found


def said(error: BaseException) -> str:
    """A decoder's complaint in the protocol's words where clients look for them."""
    text = str(error)
    if "missing required field" in text:
        return text.replace("Object missing required field", "missing field")
    return text


def unknown(name: str, table: Mapping[str, Method]) -> MethodError:
    """Nobody has such a method."""
    near = [known for known in table if known.partition("/")[0] == name.partition("/")[0]]
    hint = f", expected one of {', '.join(f'`{one}`' for one in near[:8])}" if near else ""
    return MethodError(METHOD_NOT_FOUND, f"Invalid request: unknown variant `{name}`{hint}")
