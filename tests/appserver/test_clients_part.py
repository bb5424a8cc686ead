"""What a client does for the model: its own tools, answers of a person; and who is logged in."""

TOOL = {
    "type": "function",
    "name": "ticket",
    "description": "Read a ticket.",
    "inputSchema": {"type": "object", "properties": {"number": {"type": "integer"}}},
}
PICTURE = "data:image/png;base64,AAAA"


def begun(client, **params):
    """A thread in which a turn has been asked for."""
    thread = client.thread(**params)
    given = [{"type": "text", "text": "go"}]
    client.ask("turn/start", threadId=thread, input=given)
    return thread


def asked(client, method):
    return client.until(lambda line: line.get("method") == method and "id" in line)


def finished(client, kind):
    return [
        line["params"]["item"]
        for line in client.seen
        if line.get("method") == "item/completed" and line["params"]["item"]["type"] == kind
    ]


def test_the_model_calls_a_tool_of_the_client(client, model):
    model.calls("ticket", number=7).says("ok")
    client.decide = {"contentItems": [{"type": "inputText", "text": "It burns."}], "success": True}
    client.start(experimentalApi=True)
    thread = begun(client, dynamicTools=[TOOL])
    call = asked(client, "item/tool/call")["params"]
    assert (call["tool"], call["arguments"], call["threadId"]) == ("ticket", {"number": 7}, thread)
    client.notice("turn/completed")
    assert model.requests[-1].tool_outputs == ["It burns."]
    (item,) = finished(client, "dynamicToolCall")
    assert (item["status"], item["success"]) == ("completed", True)


def test_tools_of_one_name_and_pictures_in_answers(client, model):
    model.calls_raw("ticket", '{"number": 1}', namespace="desk").says("ok")
    client.decide = {"contentItems": [{"type": "inputImage", "imageUrl": PICTURE}], "success": True}
    client.start(experimentalApi=True)
    begun(
        client,
        dynamicTools=[{"type": "namespace", "name": "desk", "description": "", "tools": [TOOL]}],
    )
    assert asked(client, "item/tool/call")["params"]["namespace"] == "desk"
    client.notice("turn/completed")
    assert PICTURE in model.requests[-1].body.decode()


def test_an_answer_that_is_none_is_told_to_the_model(client, model):
    model.calls("ticket", number=1).says("ok")
    client.decide = {"nonsense": 1}
    client.start(experimentalApi=True)
    begun(client, dynamicTools=[TOOL])
    client.notice("turn/completed")
    assert model.requests[-1].tool_outputs == ["The client's answer was not understood."]


def test_a_tool_without_a_schema_is_refused(client):
    client.start(experimentalApi=True)
    wrong = client.error("thread/start", dynamicTools=[{"type": "function", "name": "x"}])
    assert "inputSchema" in wrong["message"]


QUESTION = {
    "id": "colour",
    "header": "Colour",
    "question": "Which one?",
    "options": [{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}],
}
ASKING = {"features.default_mode_request_user_input": True}


def test_a_person_answers_the_models_questions_through_the_client(client, model):
    model.calls("request_user_input", questions=[QUESTION]).says("ok")
    client.decide = {"answers": {"colour": {"answers": ["Blue"]}}}
    client.start()
    begun(client, config=ASKING)
    put = asked(client, "item/tool/requestUserInput")["params"]
    assert [one["label"] for one in put["questions"][0]["options"]] == ["Red", "Blue"]
    client.notice("turn/completed")
    assert '"Blue"' in model.requests[-1].tool_outputs[0]
    waiting = [
        line["params"]["status"].get("activeFlags")
        for line in client.seen
        if line.get("method") == "thread/status/changed"
    ]
    assert ["waitingOnUserInput"] in waiting
    assert "serverRequest/resolved" in [line.get("method") for line in client.seen]


def test_no_answer_is_told_to_the_model(client, model):
    model.calls("request_user_input", questions=[QUESTION]).says("ok")
    client.decide = "nothing"
    client.start()
    begun(client, config=ASKING)
    client.notice("turn/completed")
    assert "Nobody wants to answer" in model.requests[-1].tool_outputs[0]


def test_an_api_key_is_kept_and_forgotten(client, octavo, settings):
    octavo.config('model = "gpt-5"\n')
    client.start()
    assert client.ask("account/read")["requiresOpenaiAuth"] is True
    assert client.ask("account/read")["account"] is None
    assert client.ask("account/login/start", type="apiKey", apiKey="k-123") == {"type": "apiKey"}
    assert client.notice("account/login/completed")["success"] is True
    assert client.ask("account/read")["account"] == {"type": "apiKey"}
    assert client.ask("getAuthStatus")["authToken"] is None
    assert client.ask("account/logout") == {}
    assert client.ask("account/read")["account"] is None
    wrong = client.error("account/login/start", type="chatgpt")
    assert "`apiKey`" in wrong["message"]
    assert client.ask("account/login/cancel", loginId="x") == {"status": "notFound"}


def test_what_another_program_says_has_the_authority_of_a_tool(client, model):
    model.says("I see.").says("Again.")
    client.start(experimentalApi=True)
    thread = client.thread()
    said = {"name": "inbox", "output": "A letter has come."}
    client.ask("turn/start", threadId=thread, input=[], toolOutput=said)
    assert client.notice("turn/completed")["turn"]["status"] == "completed"
    *_, call, output = model.requests[0].json["input"]
    assert (call["type"], call["name"]) == ("function_call", "inbox")
    assert output["type"] == "function_call_output"
    assert (output["call_id"], output["output"]) == (call["call_id"], "A letter has come.")
    parts = [{"type": "input_text", "text": "Another."}]
    client.ask("turn/start", threadId=thread, input=[], toolOutput={"name": "i", "output": parts})
    client.notice("turn/completed")
    assert "Another." in model.requests[1].body.decode()
    for wrong in ({"name": " ", "output": "x"}, {"output": "x"}, {"name": "x", "output": 7}):
        message = client.error("turn/start", threadId=thread, input=[], toolOutput=wrong)["message"]
        assert "toolOutput" in message


def test_a_turn_of_plan_mode_writes_nothing(client, model, octavo):
    model.calls("exec_command", cmd="touch made", login=False)
    model.says("<proposed_plan>\n1. Do it.\n</proposed_plan>")
    client.start(experimentalApi=True)
    thread = client.thread(cwd=str(octavo.cwd), sandbox="workspace-write")
    client.turn(thread, "go", collaborationMode={"mode": "plan", "settings": {"model": "gpt-5"}})
    assert not (octavo.cwd / "made").exists()
    assert [item["text"].strip() for item in finished(client, "plan")] == ["1. Do it."]
    wrong = client.error(
        "turn/start", threadId=thread, input=[], collaborationMode={"mode": "dream"}
    )
    assert "dream" in wrong["message"]
