"""How many connections a program can have open."""

import pytest

from octavo.proxy.limits import LIMITS, fitting


@pytest.mark.parametrize(
    ("descriptors", "each", "total"),
    [(None, 512, 2_048), (1_048_576, 512, 2_048), (1_024, 170, 341), (256, 42, 85)],
)
def test_connections_leave_descriptors_for_the_rest_of_the_program(descriptors, each, total):
    found = fitting(LIMITS, descriptors)
    assert (found.connections, found.connections_total) == (each, total)
