"""Merge the fragments in changes/ into CHANGELOG.md under the version of the package.

`--draft` only prints. A fragment is `+topic.KIND.md` with one sentence for users.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = {
    "security": "Security",
    "added": "Added",
    "changed": "Changed",
    "fixed": "Fixed",
    "removed": "Removed",
}
NAME = re.compile(r"\+[a-z0-9-]+\.(" + "|".join(KINDS) + r")\.md")


def main() -> int:
    fragments = sorted((ROOT / "changes").glob("+*.md"))
    wrong = [path.name for path in fragments if not NAME.fullmatch(path.name)]
    if wrong:
        sys.exit(
            f"changes/: not +topic.KIND.md with KIND one of {', '.join(KINDS)}: {', '.join(wrong)}"
        )
    entry = section(version(), fragments)
    if "--draft" in sys.argv:
        print(entry)
        return 0
    log = ROOT / "CHANGELOG.md"
    head, _, rest = log.read_text().partition("\n## ")
    log.write_text(f"{head.rstrip()}\n\n{entry}" + (f"\n## {rest}" if rest else ""))
    for path in fragments:
        path.unlink()
    return 0


def version() -> str:
    text = (ROOT / "src/octavo/_version.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    assert found
    return found[1]


def section(number: str, fragments: list[Path]) -> str:
    lines = [f"## {number}", ""]
    for kind, title in KINDS.items():
        texts = [
            path.read_text().strip() for path in fragments if path.name.endswith(f".{kind}.md")
        ]
        if texts:
            lines += [f"### {title}", "", *[f"- {text}" for text in texts], ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
