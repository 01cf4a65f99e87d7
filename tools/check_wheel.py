"""Check wheels: ``python tools/check_wheel.py WHEEL-OR-FOLDER...``.

Small enough, no source files, nothing outside the package, licences (of the OpenMP library too, where it is inside),
type information.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

MOST_BYTES = 3_000_000
SOURCES = (".pyx", ".pxi", ".pxd", ".h", ".c", "CMakeLists.txt")
LIBRARIES = {"libgomp": "libgomp.txt", "libomp": "libomp.txt", "vcomp": "vcomp.txt"}


def faults(wheel: Path) -> list[str]:
    """What is wrong with a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size:,} bytes, {len(names)} files")
    found = [f"source file: {name}" for name in names if name.endswith(SOURCES)]
    # what auditwheel and delvewheel add is not in a wheel that was not repaired
    ours = ("quantnn/", "quantnn-") if "-linux_" in wheel.name else ("quantnn/", "quantnn-", "quantnn.")
    found += [f"outside the package: {name}" for name in names if not name.startswith(ours)]
    licences = {"LICENSE"}
    for name in names:
        licences |= {text for library, text in LIBRARIES.items() if Path(name).name.startswith(library)}
    shipped = {Path(name).name for name in names if "/licenses/" in name}
    found += [f"no licence: {text}" for text in sorted(licences - shipped)]
    if "quantnn/py.typed" not in names:
        found.append("no py.typed")
    if size > MOST_BYTES:
        found.append(f"{size:,} bytes, more than {MOST_BYTES:,}")
    return found


def main() -> int:
    wheels = [w for path in map(Path, sys.argv[1:]) for w in (sorted(path.glob("*.whl")) if path.is_dir() else [path])]
    if not wheels:
        print("no wheel")
        return 1
    found = [f"{wheel.name}: {fault}" for wheel in wheels for fault in faults(wheel)]
    print(*found, sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
