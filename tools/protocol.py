"""Make the tables of docs/protocols.md, and docs/app-server.schema.json, from the table of methods."""

from pathlib import Path

import msgspec

from octavo.appserver.schema import as_text, bundle
from octavo.appserver.server import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "protocols.md"
SCHEMA = PAGE.with_name("app-server.schema.json")
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
    SCHEMA.write_text(as_text(bundle()), encoding="utf-8")
