"""Run by the published Python client's own interpreter: one scene, its outcome as JSON on stdout."""

import json
import sys

from openai_codex import (
    ApprovalMode,
    Codex,
    CodexConfig,
    LocalImageInput,
    Sandbox,
    TextInput,
    Thread,
)


def outcome(result):
    kinds = [item.root.type for item in result.items]
    return {
        "final": result.final_response,
        "items": kinds,
        "tokens": result.usage.total.total_tokens,
        "status": str(getattr(result.status, "value", result.status)),
    }


def run(codex, _given):
    thread = codex.thread_start(model="gpt-5", sandbox=Sandbox.workspace_write)
    first = outcome(thread.run("hello"))
    second = outcome(thread.run("again"))
    return {"id": thread.id, "turns": [first, second]}


def stream(codex, _given):
    turn = codex.thread_start().turn("hello")
    return [notice.method for notice in turn.stream()]


def resume(codex, given):
    thread = codex.thread_resume(given["thread"])
    listed = [one.id for one in codex.thread_list().data]
    turns = len(thread.read(include_turns=True).thread.turns)
    return {"listed": listed, "turns": turns, "final": thread.run("third").final_response}


def fork(codex, given):
    thread = codex.thread_fork(given["thread"])
    return {"id": thread.id, "final": thread.run("other").final_response}


def picture(codex, given):
    parts = [TextInput("what is it?"), LocalImageInput(given["picture"])]
    return codex.thread_start().run(parts).final_response


def structured(codex, _given):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    return json.loads(codex.thread_start().run("x", output_schema=schema).final_response)


def approvals(codex, given):
    mode = ApprovalMode.auto_review if given["ask"] else ApprovalMode.deny_all
    thread = codex.thread_start(approval_mode=mode, config=given["config"])
    return outcome(thread.run("go"))


def handled(codex, _given):
    """The lower client, where the caller answers approvals itself."""
    params = {"approvalPolicy": "on-request", "approvalsReviewer": "user", "sandbox": "read-only"}
    started = codex._client.thread_start(params)
    return outcome(Thread(codex._client, started.thread.id).run("go"))


def interrupt(codex, _given):
    turn = codex.thread_start().turn("go")
    for notice in turn.stream():
        if notice.method == "item/commandExecution/outputDelta":
            turn.interrupt()
        if notice.method == "turn/completed":
            return notice.payload.turn.status.value
    return None


def failure(codex, _given):
    thread = codex.thread_start()
    try:
        return outcome(thread.run("go"))
    except Exception as error:  # noqa: BLE001 - whatever the client raises is the outcome
        return {"error": str(error), "kind": type(error).__name__}


def more(codex, _given):
    thread = codex.thread_start()
    thread.run("hello")
    thread.set_name("mine")
    thread.compact()
    named = [one.name for one in codex.thread_list().data]
    codex.thread_archive(thread.id)
    left = [one.id for one in codex.thread_list().data]
    codex.thread_unarchive(thread.id)
    models = [one.id for one in codex.models().data]
    return {
        "named": named,
        "left": left,
        "model": "gpt-5" in models,
        "account": codex.account().account,
    }


def main():
    scene, program, home, work, given = sys.argv[1:6]
    given = json.loads(given)
    config = CodexConfig(
        codex_bin=program, cwd=work, env={**given.get("env", {}), "OCTAVO_HOME": home}
    )
    if given.get("handler"):
        decision = given["handler"]
        from openai_codex.client import CodexClient

        original = CodexClient.__init__

        def with_handler(self, *args, **kwargs):
            kwargs["approval_handler"] = lambda _method, _params: {"decision": decision}
            original(self, *args, **kwargs)

        CodexClient.__init__ = with_handler
    with Codex(config) as codex:
        sys.stdout.write(json.dumps(globals()[scene](codex, given)) + "\n")


main()
