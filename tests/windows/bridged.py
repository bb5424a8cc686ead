"""A program for `test_bridge`: the bridge of `octavo sandbox`, with a profile made by hand."""

import os
import signal
import sys
import threading

from programs import env

from octavo.cli.sandbox_bridge_windows import Bounds, bridged
from octavo.policy.places import Places
from octavo.policy.profile import EffectiveProfile
from octavo.process.spec import Pipes, ProcessSpec
from octavo.protocol.permissions import Access, FileRule, NetworkRules, RuleRef
from octavo.sandbox.session import WindowsChoice
from octavo.sandbox.wish import Wish

work, home, wall_s, *words = sys.argv[1:]
ref = RuleRef(text="a test", source="flag")
profile = EffectiveProfile(
    name="test",
    mode=None,
    rules=(
        FileRule(path="/", access=Access.READ, ref=ref),
        FileRule(path=work, access=Access.WRITE, ref=ref),
    ),
    deny_globs=(),
    network=NetworkRules(enabled=True),
    unrestricted=False,
    places=Places(cwd=work, home=""),
)
spec = ProcessSpec(argv=tuple(words), env=env(), cwd=work, stdio=Pipes(stdin=True))
# Wine starts a program for each new desktop, and gives it our handles: nobody would see the end.
choice = WindowsChoice(
    home=home, environ=dict(os.environ), level="unelevated", private_desktop=False
)
if "INTERRUPT_S" in os.environ:
    after_s = float(os.environ["INTERRUPT_S"])
    threading.Timer(after_s, signal.raise_signal, [signal.SIGINT]).start()
sys.exit(bridged(spec, profile, Wish(), choice, Bounds(wall_s=float(wall_s) or None)))
