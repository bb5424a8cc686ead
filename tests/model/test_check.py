from octavo.model.check import check
from octavo.model.provider import Provider
from octavo.testing import ModelServer


def provider(server: ModelServer) -> Provider:
    return Provider(id="t", name="t", base_url=server.url, wire_api="chat", request_max_retries=0)


async def test_a_server_that_can_do_everything():
    async with ModelServer().says("ready").calls("report_number", number=7) as server:
        report = await check(provider(server))
    assert report.ok
    assert (report.model, report.models) == ("scripted", ("scripted",))
    assert [finding.question for finding in report.findings] == [
        "lists its models",
        "streams an answer",
        "calls tools",
    ]


async def test_a_model_that_talks_instead_of_calling():
    async with ModelServer().says("ready").says("Seven!") as server:
        report = await check(provider(server), model="m")
    assert not report.ok
    assert report.findings[-1].detail == "answered in words instead"


async def test_a_server_that_is_not_there():
    async with ModelServer() as server:
        pass
    report = await check(provider(server))
    assert (report.ok, report.model) == (False, None)
    assert "cannot reach" in report.findings[0].detail
