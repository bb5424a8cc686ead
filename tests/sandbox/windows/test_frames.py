import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.windows import frames
from octavo.sandbox.windows.frames import (
    CloseStdin,
    Decoder,
    Exit,
    Failure,
    FrameError,
    Output,
    Resize,
    SpawnReady,
    SpawnRequest,
    Stdin,
    Terminate,
)

text = st.text(st.characters(codec="utf-8"), max_size=20)
texts = st.lists(text, max_size=4).map(tuple)
requests = st.builds(
    SpawnRequest,
    command=texts,
    cwd=text,
    env=st.dictionaries(text, text, max_size=3),
    permission_profile=st.dictionaries(text, st.integers(0, 9) | text, max_size=3),
    workspace_roots=texts,
    octavo_home=text,
    real_octavo_home=text,
    cap_sids=texts,
    tty=st.booleans(),
    timeout_ms=st.none() | st.integers(0, 2**40),
    stdin_open=st.booleans(),
    private_desktop_name=text,
    network_proxy_restricting_sid=st.none() | text,
)
messages = st.one_of(
    requests,
    st.builds(SpawnReady, process_id=st.integers(0, 2**32 - 1)),
    st.builds(Output, data=st.binary(max_size=8192), stream=st.sampled_from(["stdout", "stderr"])),
    st.builds(Stdin, data=st.binary(max_size=9000)),
    st.just(CloseStdin()),
    st.builds(Resize, rows=st.integers(1, 0x7FFF), cols=st.integers(1, 0x7FFF)),
    st.just(Terminate()),
    st.builds(Exit, exit_code=st.integers(-(2**31), 2**31 - 1), timed_out=st.booleans()),
    st.builds(
        Failure,
        message=text,
        stage=st.sampled_from(frames.STAGES),
        windows_error_code=st.none() | st.integers(0, 2**32 - 1),
    ),
)


@given(st.lists(messages, max_size=4), st.integers(1, 50))
def test_messages_come_out_as_they_went_in_whatever_the_pieces(sent, size):
    data = b"".join(map(frames.encode, sent))
    decoder = Decoder()
    got = [m for at in range(0, len(data), size) for m in decoder.feed(data[at : at + size])]
    decoder.end()
    assert got == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_one_clear_error(data):
    decoder = Decoder()
    with contextlib.suppress(FrameError):
        list(decoder.feed(data))
        decoder.end()


@given(messages, st.data())
def test_a_frame_cut_anywhere_is_an_error_at_its_end(message, data):
    whole = frames.encode(message)
    cut = data.draw(st.integers(1, len(whole) - 1))
    decoder = Decoder()
    assert list(decoder.feed(whole[:cut])) == []
    with pytest.raises(FrameError, match="ended inside a frame"):
        decoder.end()


def frame(table):
    body = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(body).to_bytes(4, "little") + body


def message(kind, version=1, **payload):
    return {"version": version, "type": kind, "payload": payload}


BAD = [
    (b"\xff\xff\xff\x7f", "length", "frame too large"),
    ((8 * 1024 * 1024 + 1).to_bytes(4, "little"), "length", "frame too large"),
    (b"\0\0\0\0", "length", "no bytes"),
    (frame(b"\xff"), "body", "not UTF-8"),
    (frame(b"{"), "body", "not JSON"),
    (frame(b"[" * 100_000), "body", "not JSON"),
    (frame(b"NaN"), "body", "NaN"),
    (frame([]), "body", "not an object"),
    (frame({"type": "exit", "payload": {}}), "version", "missing"),
    (frame({"version": True, "type": "exit", "payload": {}}), "version", "True"),
    (frame({"version": 1, "payload": {}}), "type", "missing"),
    (frame({"version": 1, "type": "exit"}), "payload", "missing"),
    (frame({"version": 1, "type": 3, "payload": {}}), "type", "not a str"),
    (frame(message("nonsense")), "type", "unknown type"),
    (frame(message("nonsense", version=2)), "version", "version 2"),
    (frame(message("terminate", version=7)), "version", "version 7"),
    (frame(message("exit", version=7)), "exit_code", "missing"),
    (frame(message("exit", exit_code="0", timed_out=False)), "exit_code", "cannot be"),
    (frame(message("exit", exit_code=True, timed_out=False)), "exit_code", "cannot be"),
    (frame(message("exit", exit_code=2**31, timed_out=False)), "exit_code", "has to be"),
    (frame(message("resize", rows=0, cols=80)), "rows", "has to be"),
    (frame(message("stdin", data_b64="a")), "data_b64", "not base64"),
    (frame(message("stdin", data_b64="ä===")), "data_b64", "not base64"),
    (frame(message("stdin", data_b64="YQ==\n")), "data_b64", "not base64"),
    (frame(message("stdin")), "data_b64", "missing"),
    (frame(message("output", data_b64="", stream="x")), "stream", "not stdout"),
    (
        frame(message("output", data_b64=base64.b64encode(b"x" * 8193).decode(), stream="stdout")),
        "data_b64",
        "limit",
    ),
    (frame(message("error", message="m", stage="other")), "stage", "unknown stage"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "part", "reason"), BAD)
def test_a_malformed_frame_is_named(data, part, reason):
    with pytest.raises(FrameError, match=reason) as caught:
        list(Decoder().feed(data))
    assert caught.value.part == part


def test_the_length_is_judged_before_the_body_is_there():
    with pytest.raises(FrameError, match="too large"):
        list(Decoder().feed(b"\0\0\0\xf0"))


def test_nothing_is_read_after_a_broken_frame():
    decoder = Decoder()
    with pytest.raises(FrameError):
        list(decoder.feed(frame({})))
    with pytest.raises(FrameError, match="after a broken"):
        decoder.feed(frames.encode(Terminate()))


def test_a_message_that_goes_the_other_way_is_refused():
    with pytest.raises(FrameError, match="other way"):
        list(Decoder(frames.TO_RUNNER).feed(frames.encode(SpawnReady(process_id=1))))


def test_unknown_fields_are_ignored():
    assert list(Decoder().feed(frame(message("terminate", more=1)))) == [Terminate()]


def test_every_field_of_a_request_that_has_no_default_is_demanded():
    whole = json.loads(
        frames.encode(
            SpawnRequest(
                command=("x",), cwd="C:\\", env={}, permission_profile={}, workspace_roots=(),
                octavo_home="h", real_octavo_home="r", cap_sids=("S-1-5-21-1-2-3-4",), tty=False,
                private_desktop_name="d",
            )
        )[4:]
    )  # fmt: skip
    optional = {"timeout_ms", "stdin_open", "rows", "cols", "network_proxy_restricting_sid"}
    for name in whole["payload"]:
        less = {**whole, "payload": {k: v for k, v in whole["payload"].items() if k != name}}
        if name in optional:
            assert list(Decoder().feed(frame(less)))
            continue
        with pytest.raises(FrameError, match="missing") as caught:
            list(Decoder().feed(frame(less)))
        assert caught.value.part == name


def test_a_message_larger_than_the_limit_is_not_sent():
    with pytest.raises(FrameError, match="too large"):
        frames.encode(Stdin(data=b"x" * (7 * 1024 * 1024)))


def test_half_a_surrogate_pair_is_not_sent():
    with pytest.raises(FrameError, match="surrogate"):
        frames.encode(Failure(message="\ud800", stage="run"))


def test_a_request_without_capability_would_not_be_confined():
    request = SpawnRequest(
        command=("x",), cwd="", env={}, permission_profile={}, workspace_roots=(), octavo_home="",
        real_octavo_home="", cap_sids=(), tty=False, private_desktop_name="",
    )  # fmt: skip
    assert "no capability" in frames.check_request(request)


def test_output_is_cut_into_pieces_and_pipes_have_names():
    assert [len(piece) for piece in frames.pieces(b"x" * 20_000)] == [8192, 8192, 3616]
    into, out = frames.pipe_names(bytes(16))
    assert into == "\\\\.\\pipe\\octavo-runner-" + "0" * 32 + "-in"
    assert out.endswith("-out")
    assert frames.pipe_security("S-1-2") == "D:P(A;;GA;;;S-1-2)"


def test_taken_input_is_told_within_what_can_be_on_its_way():
    frame = frames.encode(frames.StdinTaken(count=8192))
    (message,) = frames.Decoder(frames.FROM_RUNNER).feed(frame)
    assert message == frames.StdinTaken(count=8192)
    with pytest.raises(frames.FrameError, match="count"):
        frames.encode(frames.StdinTaken(count=-1))
    assert frames.STDIN_AHEAD < frames.STDIN_LIMIT
