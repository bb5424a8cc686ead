"""Who may run what, and where."""

import pytest

from octavo.tools.verdict import Answer, judged


@pytest.mark.parametrize(
    ("policy", "escalated", "sandboxed", "hides", "answer"),
    [
        ("never", False, True, False, Answer.RUN),
        ("never", True, True, False, Answer.REFUSE),
        ("never", True, False, False, Answer.RUN),
        ("on-request", False, True, True, Answer.RUN),
        ("on-request", True, True, False, Answer.ASK),
        ("on-request", True, True, True, Answer.REFUSE),
        ("untrusted", False, True, False, Answer.ASK),
        ("untrusted", True, True, False, Answer.REFUSE),
        ("untrusted", False, False, False, Answer.ASK),
        ("something else", True, True, False, Answer.REFUSE),
    ],
)
def test_verdicts(policy, escalated, sandboxed, hides, answer):
    verdict = judged(policy, escalated=escalated, sandboxed=sandboxed, hides=hides)
    assert verdict.answer is answer
    assert bool(verdict.reason) == (answer is Answer.REFUSE)
