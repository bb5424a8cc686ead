"""The parser of the record, on lines of one; this part runs anywhere."""

import tracing

from octavo.sandbox.windows.acl import Ace

LINES = r"""
0024: create_file( access=00160080, sharing=00000007, create=1, options=00004020, objattr={rootdir=0000,sd={},name=L"\\??\\C:\\w \"\x00e4"}, filename="/c/w" )
0028: close_handle( handle=0004 )
0028: close_handle() = 0
0024: create_file() = 0 { handle=0054 }
0024: set_security_object( handle=0054, security_info=80000004, sd={control=4,dacl={{type=ACCESS_DENIED,flags=3,mask=1f0156,sid=S-1-5-21-1-2-3-4},{type=ACCESS_ALLOWED,flags=13,mask=1f01ff,sid=S-1-5-18}}} )
0024: set_security_object() = 0
0024: open_mutex( access=00100000, attributes=0, rootdir=0000, name=L"gone" )
0024: open_mutex() = OBJECT_NAME_NOT_FOUND { handle=0000 }
0020: *fd* 02f6 -> 23
""".strip().splitlines()


def test_a_request_is_found_with_its_answer():
    mutex = next(each for each in tracing.requests(LINES) if each.call == "open_mutex")
    assert (mutex.name, mutex.number("access"), mutex.worked) == ("gone", 0x100000, False)


def test_a_list_is_found_with_the_path_it_was_set_on():
    (one,) = tracing.written(tracing.requests(LINES))
    assert one.path == 'C:\\w "ä'
    assert (one.access, one.information) == (0x160080, 0x80000004)
    assert one.entries == (
        Ace(False, "S-1-5-21-1-2-3-4", 0x1F0156, 3),
        Ace(True, "S-1-5-18", 0x1F01FF, 0x13),
    )
    assert len(one.explicit) == 1


def test_a_request_without_an_answer_is_not_lost():
    assert [each.call for each in tracing.requests(LINES[:1])] == ["create_file"]
