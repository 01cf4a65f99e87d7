"""Check that a tag, pyproject.toml and CHANGELOG.md name one version: ``python tools/check_release.py v1.2.3``."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def main() -> int:
    root = Path(__file__).parent.parent
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if sys.argv[1:] != [f"v{version}"]:
        print(f"the tag must be v{version}, as pyproject.toml has it; got {' '.join(sys.argv[1:]) or 'none'}")
        return 1
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        print(f"CHANGELOG.md must have a heading '## [{version}] - YYYY-MM-DD'")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
