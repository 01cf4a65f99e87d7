"""How long ``import quantnn`` takes over NumPy's own import: fails above 30 ms.

The least of several processes counts, as a busy machine only adds; the first compiles Python's files.
"""

from __future__ import annotations

import os
import subprocess
import sys

MOST_SECONDS = 0.030
PROCESSES = 15
CODE = "import time, numpy; start = time.perf_counter(); import quantnn; print(time.perf_counter() - start)"


def main() -> int:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", CODE]
    seconds = min(float(subprocess.check_output(command, env=environment)) for _ in range(PROCESSES))
    print(f"import quantnn: {seconds * 1e3:.1f} ms over NumPy's import, at most {MOST_SECONDS * 1e3:.0f} ms")
    return int(seconds > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
