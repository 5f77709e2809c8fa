"""Fails when a Python file of the package has more than 400 lines."""

from __future__ import annotations

import sys
from pathlib import Path

MOST = 400


def too_long(root: Path) -> list[str]:
    found = []
    for path in sorted((root / "quantlab").rglob("*.py")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST:
            found.append(f"{path.relative_to(root)}: {lines} lines, at most {MOST} are allowed")
    return found


if __name__ == "__main__":
    problems = too_long(Path(__file__).resolve().parents[1])
    print("\n".join(problems))
    sys.exit(bool(problems))
