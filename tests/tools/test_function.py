"""Python functions as tools."""

import threading
from typing import Literal

import pytest
from msgspec import Struct

from octavo.protocol.content import InputImage
from octavo.protocol.errors import UsageError
from octavo.tools.base import ToolContext
from octavo.tools.function import tool


class Place(Struct):
    city: str
    zip: int | None = None


@tool
async def weather(
    place: Place, *, unit: Literal["C", "F"] = "C", days: list[int] | None = None
) -> str:
    """Tell the weather.

    For one place.
    """
    return f"{place.city} {unit} {days}"


async def run(world, made, arguments):
    return await made.run(world.call(made.name, arguments), world.context())


def test_name_description_and_schema_come_from_the_function():
    spec = weather.spec
    assert (spec.name, spec.description) == ("weather", "Tell the weather.\n\nFor one place.")
    assert spec.parameters["required"] == ["place"]
    assert spec.parameters["additionalProperties"] is False
    assert spec.parameters["properties"]["unit"] == {"enum": ["C", "F"], "default": "C"}
    assert spec.parameters["properties"]["place"] == {"$ref": "#/$defs/Place"}
    assert spec.parameters["$defs"]["Place"]["required"] == ["city"]


async def test_arguments_arrive_typed_and_defaults_hold(world):
    answer = await run(world, weather, '{"place": {"city": "Bern"}, "days": [1]}')
    assert answer.output == "Bern C [1]"
    begun, done = world.events
    assert (begun.item.tool, begun.item.status) == ("weather", "in_progress")
    assert (done.item.output, done.item.status) == ("Bern C [1]", "completed")


@pytest.mark.parametrize("arguments", ["{}", '{"place": 3}', '{"place": {"city": "x"}, "more": 1}'])
async def test_arguments_that_do_not_fit_are_told(world, arguments):
    with pytest.raises(UsageError, match="failed to parse"):
        await run(world, weather, arguments)


async def test_an_ordinary_function_runs_in_a_thread_and_may_return_anything(world):
    @tool(name="where", parallel=True)
    def here(context: ToolContext) -> dict[str, object]:
        return {"main": threading.current_thread() is threading.main_thread(), "cwd": context.cwd}

    assert here.spec.parameters["properties"] == {}
    assert here.parallel
    answer = await run(world, here, "")
    assert answer.output == f'{{"main":false,"cwd":"{world.folder}"}}'


async def test_what_it_raises_is_told(world):
    @tool
    def broken() -> None:
        raise ValueError("no luck")

    answer = await run(world, broken, "{}")
    assert (answer.output, answer.success) == ("broken failed: ValueError: no luck", False)
    assert world.events[-1].item.status == "failed"


async def test_a_result_nobody_can_write_down_is_told(world):
    @tool
    def odd() -> object:
        return object()

    assert "odd failed: TypeError" in (await run(world, odd, "{}")).output


async def test_pictures_and_nothing_may_be_returned(world):
    @tool
    def picture() -> InputImage:
        return InputImage(image_url="data:x")

    @tool
    def nothing() -> None:
        return None

    assert (await run(world, picture, "{}")).output == (InputImage(image_url="data:x"),)
    assert (await run(world, nothing, "{}")).output == ""


async def test_it_can_still_be_called():
    assert await weather(Place("Bern")) == "Bern C None"


async def test_a_default_is_the_same_object_each_time(world):
    seen = []

    @tool
    def collect(into: list[int] = seen) -> str:
        into.append(1)
        return str(len(into))

    assert (await run(world, collect, "{}")).output == "1"
    assert seen == [1]


def test_functions_without_a_schema_are_refused():
    with pytest.raises(UsageError, match="'x' has no annotation"):
        tool(lambda x: x, name="f") if False else tool(name="f")(lambda x: x)
    with pytest.raises(UsageError, match="cannot be given by name"):

        @tool
        def f(*args: int) -> None: ...

    with pytest.raises(UsageError, match="name of a tool"):
        tool(name="no spaces")(print)
    with pytest.raises(UsageError, match="tool g"):

        @tool
        def g(x: threading.Thread) -> None: ...
