"""`octavo demo`: a recorded session on a small project, with everything real but the model."""

import asyncio
import os
import sys

import click

NOTICE = (
    "A recorded session. The model's words were written down before; everything they lead to is "
    "real and happens now:\nthe engine, the sandbox, the patch, the tests, in a temporary folder "
    "that is removed at the end.\n"
)
AFTERWARDS = (
    'Try it live: octavo exec -m MODEL "make the tests pass" with OPENAI_API_KEY or '
    'ANTHROPIC_API_KEY set,\nor with a local server: octavo exec --oss -m MODEL "..."\n'
)


@click.command()
def command() -> int:
    """Watch the agent fix a small project: no key, no network, real sandbox."""
    from octavo.demo.play import play

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(NOTICE)
    asyncio.run(play(note=write, result=write, colour=colour, environ=os.environ))
    click.echo(
        f"\nThe tests pass now, and the commit hook was not written.\n{AFTERWARDS}", nl=False
    )
    return 0


def write(text: str) -> None:
    """To stdout at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
