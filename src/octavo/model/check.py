"""What a server can do, found out by asking it: its models, streaming, tool calls.

Used by `octavo models check`. Costs two short answers.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Protocol

from msgspec import Struct

from octavo.model.codec import is_object, string
from octavo.model.events import Done, ItemDone, ModelEvent, TextDelta
from octavo.model.http import HttpModelClient
from octavo.model.provider import Provider
from octavo.model.request import FunctionTool, ModelRequest
from octavo.protocol.content import InputText
from octavo.protocol.errors import ModelError, OctavoError
from octavo.protocol.history import FunctionCall, Message
from octavo.protocol.usage import TokenUsage

TOOL = FunctionTool(
    name="report_number",
    description="Report a number to the user.",
    parameters={
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
        "additionalProperties": False,
    },
)


class Finding(Struct, frozen=True, kw_only=True):
    """One question and its answer."""

    question: str
    ok: bool
    detail: str


class Report(Struct, frozen=True, kw_only=True):
    """Everything found out about one server."""

    provider: str
    url: str
    model: str | None
    """The one that was tried; None when there was none to try."""
    models: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """All of it works."""
        return all(finding.ok for finding in self.findings)


class Asked(Protocol):
    """What is needed of a client."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask a model."""
        ...

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Ask for a document."""
        ...


async def check(
    provider: Provider, *, model: str | None = None, client: Asked | None = None
) -> Report:
    """Ask a server what it can do. Failures are findings; nothing is raised for them."""
    if client is not None:
        return await _check(provider, model, client)
    async with HttpModelClient(provider) as own:
        return await _check(provider, model, own)


async def _check(provider: Provider, model: str | None, client: Asked) -> Report:
    names, listing = await _models(client)
    findings = [listing]
    tried = model or (names[0] if names else None)
    if tried is not None:
        findings.append(await _streams(client, tried))
        if findings[-1].ok:
            findings.append(await _calls(client, tried))
    return Report(
        provider=provider.id,
        url=provider.base_url,
        model=tried,
        models=tuple(names),
        findings=tuple(findings),
    )


async def _models(client: Asked) -> tuple[list[str], Finding]:
    question = "lists its models"
    try:
        found = await client.get("/models")
    except OctavoError as wrong:
        return [], Finding(question=question, ok=False, detail=str(wrong))
    data = found.get("data") if is_object(found) else found
    names = [string(one, "id") or string(one, "name") for one in data or () if is_object(one)]
    names = sorted(name for name in names if name)
    detail = f"{len(names)} models" if names else "an empty list"
    return names, Finding(question=question, ok=bool(names), detail=detail)


async def _streams(client: Asked, model: str) -> Finding:
    question = "streams an answer"
    pieces, usage = 0, None
    try:
        async with aclosing(
            client.stream(_request(model, "Answer with the word ready."))
        ) as events:
            async for event in events:
                pieces += isinstance(event, TextDelta)
                usage = event.usage if isinstance(event, Done) else usage
    except ModelError as wrong:
        return Finding(question=question, ok=False, detail=str(wrong))
    counted = _counted(usage)
    return Finding(question=question, ok=pieces > 0, detail=f"text in {pieces} pieces, {counted}")


def _counted(usage: TokenUsage | None) -> str:
    return "tokens are not counted" if usage is None else f"{usage.total} tokens counted"


async def _calls(client: Asked, model: str) -> Finding:
    question = "calls tools"
    request = _request(model, "Call report_number with the number 7.", tools=(TOOL,))
    try:
        async with aclosing(client.stream(request)) as events:
            async for event in events:
                if isinstance(event, ItemDone) and isinstance(event.item, FunctionCall):
                    return _judged(question, event.item)
    except ModelError as wrong:
        return Finding(question=question, ok=False, detail=str(wrong))
    return Finding(question=question, ok=False, detail="answered in words instead")


def _judged(question: str, call: FunctionCall) -> Finding:
    ok = call.name == TOOL.name and "7" in call.arguments
    return Finding(question=question, ok=ok, detail=f"{call.name}({call.arguments})")


def _request(model: str, text: str, *, tools: tuple[FunctionTool, ...] = ()) -> ModelRequest:
    message = Message(role="user", content=(InputText(text=text),))
    return ModelRequest(
        model=model,
        instructions="You are being tested. Be brief.",
        input=(message,),
        tools=tools,
        max_output_tokens=2_000,
    )
