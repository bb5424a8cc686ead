"""Goals over the protocol: a client gives one, and the thread works for it without another word."""


def state(client):
    """What was told of the goal, in order."""
    return [
        line["params"]["goal"]["status"] if line["method"].endswith("updated") else "cleared"
        for line in client.seen
        if line.get("method") in ("thread/goal/updated", "thread/goal/cleared")
    ]


def test_a_goal_is_worked_for_at_once_until_it_is_reached(client, model):
    model.says("I looked around.").calls("update_goal", status="complete").says("Done.")
    client.start()
    thread = client.thread()
    goal = client.ask("thread/goal/set", threadId=thread, objective="port it", tokenBudget=90_000)
    assert (goal["goal"]["status"], goal["goal"]["tokenBudget"]) == ("active", 90_000)
    turn = client.notice("turn/completed")["turn"]
    assert turn["status"] == "completed"
    found = client.ask("thread/goal/get", threadId=thread)["goal"]
    assert found["status"] == "complete"
    assert found["tokensUsed"] > 0
    assert found["updatedAt"] >= found["createdAt"] > 1_700_000_000
    assert state(client)[0] == "active"
    assert state(client)[-1] == "complete"
    assert all("port it" in request.body.decode() for request in model.requests)
    assert len(model.requests) == 3


def test_a_paused_goal_waits_and_can_be_taken_away(client, model):
    client.start()
    thread = client.thread()
    client.ask("thread/goal/set", threadId=thread, objective="later", status="paused")
    assert client.ask("thread/goal/get", threadId=thread)["goal"]["status"] == "paused"
    assert client.ask("thread/goal/clear", threadId=thread) == {"cleared": True}
    assert client.ask("thread/goal/clear", threadId=thread) == {"cleared": False}
    assert client.ask("thread/goal/get", threadId=thread) == {"goal": None}
    assert state(client) == ["active", "paused", "cleared"]
    assert model.requests == []


def test_a_goal_is_there_after_the_thread_was_loaded_again(client, model):
    model.says("Hello.")
    client.start()
    thread = client.thread()
    client.turn(thread, "Hi")
    client.ask("thread/goal/set", threadId=thread, objective="later", status="paused")
    client.ask("thread/archive", threadId=thread)
    client.ask("thread/unarchive", threadId=thread)
    client.ask("thread/resume", threadId=thread)
    assert client.notice("thread/goal/updated")["goal"]["objective"] == "later"


def test_what_makes_no_sense_is_refused(client):
    client.start()
    thread = client.thread()
    for params, words in (
        ({}, "is needed"),
        ({"status": "complete"}, "`active` or `paused`"),
        ({"status": "paused"}, "no goal to pause"),
        ({"status": "active"}, "no goal to go on with"),
        ({"objective": " "}, "empty"),
        ({"objective": "x", "tokenBudget": 0}, "more than 0"),
    ):
        message = client.error("thread/goal/set", threadId=thread, **params)["message"]
        assert words in message, params


def test_settings_may_switch_goals_off(client):
    client.start()
    thread = client.thread(config={"features.goals": False})
    message = client.error("thread/goal/set", threadId=thread, objective="x")["message"]
    assert "features.goals" in message
