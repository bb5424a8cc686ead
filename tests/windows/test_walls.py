"""Firewall rules and filters: what is handed to Windows, without a Windows that has them."""

import ctypes
import struct
import sys
import uuid

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    import pythoncom

    from octavo.sandbox.win32 import walls, wfp
    from octavo.sandbox.win32.winapi import CallError
    from octavo.sandbox.windows import descriptor, firewall, setup_run
    from octavo.sandbox.windows.acl import Ace

SID = "S-1-5-21-1-2-3-1006"


# Firewall ----------------------------------------------------------------------------------------


class Rule:
    """Takes what HNetCfg.FWRule takes, and refuses what that refuses."""

    NAMES = ("Name", "Description", "Direction", "Protocol", "RemoteAddresses", "RemotePorts",
             "LocalUserAuthorizedList", "Profiles", "Action", "Enabled")  # fmt: skip

    def __init__(self):
        self.fields = {}
        self.order = []

    def GetIDsOfNames(self, name):  # noqa: N802 - COM's name
        return self.NAMES.index(name)

    def Invoke(self, identity, _locale, kind, _wants, *arguments):  # noqa: N802 - COM's name
        name = self.NAMES[identity]
        if kind == pythoncom.DISPATCH_PROPERTYPUT:
            if name == "RemotePorts" and self.fields.get("Protocol") not in (6, 17):
                raise com_failure(-2147024809)
            self.fields[name] = arguments[0]
            self.order.append(name)
            return None
        return self.fields[name]


class Rules:
    NAMES = ("Item", "Add", "Remove")

    def __init__(self):
        self.there = []

    def GetIDsOfNames(self, name):  # noqa: N802 - COM's name
        return self.NAMES.index(name)

    def Invoke(self, identity, _locale, _kind, _wants, argument):  # noqa: N802 - COM's name
        name = self.NAMES[identity]
        if name == "Add":
            self.there.append(argument)
            return None
        found = next((rule for rule in self.there if rule.fields["Name"] == argument), None)
        if name == "Remove":
            self.there.remove(found)
            return None
        if found is None:
            raise com_failure(-2147024894)
        return found


class Policy:
    NAMES = ("LocalPolicyModifyState", "Rules")

    def __init__(self, state=0):
        self.state = state
        self.rules = Rules()

    def GetIDsOfNames(self, name):  # noqa: N802 - COM's name
        return self.NAMES.index(name)

    def Invoke(self, identity, *_rest):  # noqa: N802 - COM's name
        return (self.state, self.rules)[identity]


def com_failure(number):
    return pythoncom.com_error(-2147352567, "", (0, None, None, None, 0, number), None)


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(walls, "create", lambda _name: walls.Late(Rule()))
    made = walls.MachineWalls()
    made._policy = walls.Late(Policy())
    monkeypatch.setattr(made, "open", lambda: None)
    return made


def raised(machine, **options):
    setup_run.raise_firewall(machine, SID, firewall.firewall_plan(SID, **options))
    return {rule.fields["Name"]: rule for rule in machine._policy.raw.rules.there}


def test_the_rules_are_those_of_the_plan(machine):
    found = raised(machine, proxy_ports=(8080,))
    for step in firewall.firewall_plan(SID, proxy_ports=(8080,))[:4]:
        rule = found[step.name].fields
        assert rule["RemoteAddresses"] == step.rule.remote_addresses
        assert rule["Direction"] == step.rule.direction
        assert rule["LocalUserAuthorizedList"] == f"O:LSD:(A;;CC;;;{SID})"
        assert (rule["Action"], rule["Enabled"], rule["Profiles"]) == (0, True, 0x7FFFFFFF)
    tcp = found["octavo_sandbox_offline_block_loopback_tcp"]
    assert tcp.fields["RemotePorts"] == "1-8079,8081-65535"
    assert "RemotePorts" not in found["octavo_sandbox_offline_block_outbound"].fields
    assert tcp.order.index("Protocol") < tcp.order.index("RemotePorts")


def test_a_second_time_the_same_rules_are_changed_and_none_is_added(machine):
    first = raised(machine)
    second = raised(machine, proxy_ports=(80,))
    assert list(first) == list(second)
    assert len(machine._policy.raw.rules.there) == 4
    raised(machine, allow_local_binding=True)
    assert len(machine._policy.raw.rules.there) == 2


def test_everything_of_ours_is_removed_also_what_is_there_twice(machine):
    raised(machine)
    rules = machine._policy.raw.rules.there
    rules.append(rules[0])
    for step in firewall.removal():
        machine.remove(step.name)
    assert rules == []


def test_a_com_failure_is_an_error_with_its_own_number(machine):
    def fail(*_call):
        raise com_failure(-2147024891)

    machine._policy.raw.rules.Invoke = fail
    with pytest.raises(CallError) as caught:
        machine.put(firewall.firewall_plan(SID)[0].rule)
    assert caught.value.code == -2147024891


def test_the_real_object_answers_or_says_why_not():
    made = walls.MachineWalls()
    made.open()
    try:
        state = made.policy()
    except CallError as error:
        state = error.call
    assert state in (0, 1, 2, 3, "LocalPolicyModifyState")


# Filters -----------------------------------------------------------------------------------------


class Engine:
    """Takes the calls, and copies what the pointers point to while they are good."""

    def __init__(self, fail=None):
        self.calls = []
        self.fail = fail or {}
        self.filters = []

    def __call__(self, name, *arguments):
        self.calls.append(name)
        if name == "FwpmEngineOpen0":
            ctypes.cast(arguments[4], ctypes.POINTER(ctypes.c_void_p))[0] = 77
        if name == "FwpmFilterAdd0":
            self.filters.append(unpacked(arguments[1]))
        code = self.fail.get(name, 0)
        if isinstance(code, list):
            code = code.pop(0) if code else 0
        return code


def unpacked(pointer):
    """A filter by the published layout for 64 bits, read from memory without our classes."""
    raw = ctypes.string_at(ctypes.addressof(pointer._obj), 200)
    (flags,) = struct.unpack_from("<I", raw, 32)
    (provider,) = struct.unpack_from("<Q", raw, 40)
    count, _, conditions = struct.unpack_from("<IIQ", raw, 112)
    (action,) = struct.unpack_from("<I", raw, 128)
    found = []
    for at in range(count):
        one = ctypes.string_at(conditions + 40 * at, 40)
        match, kind = struct.unpack_from("<I", one, 16)[0], struct.unpack_from("<I", one, 24)[0]
        value = struct.unpack_from("<Q", one, 32)[0]
        if kind == 14:
            size, data = struct.unpack("<I4xQ", ctypes.string_at(value, 16))
            value = ctypes.string_at(data, size)
        found.append((key_at(one, 0), match, kind, value))
    return {
        "key": key_at(raw, 0),
        "flags": flags,
        "provider": key_at(ctypes.string_at(provider, 16), 0),
        "layer": key_at(raw, 64),
        "sublayer": key_at(raw, 80),
        "weight": struct.unpack_from("<I", raw, 96)[0],
        "action": action,
        "conditions": found,
    }


def key_at(raw, at):
    return str(uuid.UUID(bytes_le=raw[at : at + 16]))


def test_sizes_are_those_of_the_headers():
    sizes = {
        "GUID": 16, "FWPM_DISPLAY_DATA0": 16, "FWP_BYTE_BLOB": 16, "FWP_VALUE0": 16,
        "FWPM_FILTER_CONDITION0": 40, "FWPM_ACTION0": 20, "FWPM_FILTER0": 200,
        "FWPM_PROVIDER0": 64, "FWPM_SUBLAYER0": 72, "FWPM_SESSION0": 72,
    }  # fmt: skip
    assert {name: ctypes.sizeof(getattr(wfp, name)) for name in sizes} == sizes


def test_twelve_filters_in_one_transaction_byte_for_byte():
    engine = Engine()
    wfp.carry_out(firewall.wfp_plan(SID), engine)
    assert engine.calls[:4] == [
        "FwpmEngineOpen0", "FwpmTransactionBegin0", "FwpmProviderAdd0", "FwpmSubLayerAdd0",
    ]  # fmt: skip
    assert engine.calls[4:-2] == ["FwpmFilterDeleteByKey0", "FwpmFilterAdd0"] * 12
    assert engine.calls[-2:] == ["FwpmTransactionCommit0", "FwpmEngineClose0"]
    for found, (key, _, layer, field, value) in zip(engine.filters, firewall.FILTERS, strict=True):
        bits = 1 if field == firewall.PROTOCOL else 2
        (user, *_, security), other = found.pop("conditions")
        assert user == firewall.USER_ID
        assert descriptor.parse(security).dacl == (Ace(allow=True, sid=SID, mask=1),)
        assert (other[0], other[1], other[2], other[3] & 0xFFFF) == (field, 0, bits, value)
        assert found == {
            "key": key,
            "flags": 1,
            "provider": firewall.PROVIDER,
            "layer": layer,
            "sublayer": firewall.SUBLAYER,
            "weight": 0,
            "action": 0x1001,
        }


def test_what_is_there_or_gone_already_is_fine():
    engine = Engine(
        {
            "FwpmProviderAdd0": 0x80320009,
            "FwpmSubLayerAdd0": 0x80320009,
            "FwpmFilterDeleteByKey0": 0x80320003,
        }
    )
    wfp.carry_out(firewall.wfp_plan(SID), engine)
    assert engine.calls[-2] == "FwpmTransactionCommit0"


@pytest.mark.parametrize("call", [
    "FwpmEngineOpen0", "FwpmTransactionBegin0", "FwpmProviderAdd0", "FwpmSubLayerAdd0",
    "FwpmFilterDeleteByKey0", "FwpmFilterAdd0", "FwpmTransactionCommit0",
])  # fmt: skip
def test_whatever_fails_takes_everything_back(call):
    engine = Engine({call: [5]})
    with pytest.raises(CallError) as caught:
        wfp.carry_out(firewall.wfp_plan(SID), engine)
    assert caught.value.code == 5
    begun = "FwpmTransactionBegin0" in engine.calls and call != "FwpmTransactionBegin0"
    assert ("FwpmTransactionAbort0" in engine.calls) == begun
    assert ("FwpmEngineClose0" in engine.calls) == (call != "FwpmEngineOpen0")
    assert call == "FwpmTransactionCommit0" or "FwpmTransactionCommit0" not in engine.calls


def test_removing_goes_from_the_filters_outwards_and_needs_none_of_them():
    gone = {"FwpmFilterDeleteByKey0": 0x80320003, "FwpmSubLayerDeleteByKey0": 0x80320007,
            "FwpmProviderDeleteByKey0": 0x80320005}  # fmt: skip
    engine = Engine(gone)
    wfp.remove(firewall.wfp_removal(), engine)
    assert engine.calls[2:-2] == [
        *["FwpmFilterDeleteByKey0"] * 12, "FwpmSubLayerDeleteByKey0", "FwpmProviderDeleteByKey0",
    ]  # fmt: skip


def test_a_descriptor_that_is_none_is_an_error():
    with pytest.raises(CallError):
        wfp.security("nonsense")
