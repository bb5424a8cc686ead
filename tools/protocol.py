"""Make the tables of docs/protocols.md from the app server's table of methods."""

from pathlib import Path

import msgspec

from octavo.appserver.server import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocols.md"
FIRST = "## Core"


def tables() -> str:
    rows = []
    for tier in ("core", "extended", "cloud", "absent"):
        rows.append(
            f"## {tier.capitalize()}\n\n| method | parameters | what it does |\n|---|---|---|"
        )
        for name, method in sorted(TABLE.methods.items()):
            if method.tier == tier:
                fields = msgspec.structs.fields(method.params)
                named = (f"`{f.encode_name}`" + ("" if f.required else "?") for f in fields)
                rows.append(f"| `{name}` | {', '.join(named) or 'none'} | {method.about} |")
        rows.append("")
    return "\n".join(rows)


def page() -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(FIRST)] + tables()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
