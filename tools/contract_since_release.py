"""Compares every contract with that of the last release: what the next release would break.

python tools/contract_since_release.py

What was released is kept in tests/data/released/<version>/. Exit code 1 if something breaks that a higher version of the contract does not
declare, or if a contract is gone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "aximo_db/data/contracts"
RELEASED = "tests/data/released"


def last_release(root: Path) -> Path | None:
    """The folder of the newest release, if there is one."""
    folders = [path for path in (root / RELEASED).glob("*") if path.is_dir()]
    return max(folders, key=lambda path: [int(part) for part in path.name.split(".")], default=None)


def main(root: Path = ROOT) -> int:
    """Compares the contracts of a checkout; returns the exit code."""
    release = last_release(root)
    if release is None:
        print("There is no release yet: the contracts are those of the first one.")
        return 0
    found = 0
    for old in sorted(release.glob("*.json")):
        print(f"{FOLDER}/{old.name} since {release.name}:", flush=True)
        new = root / FOLDER / old.name
        if not new.exists():
            print("It is gone.")
            found = 1
            continue
        command = [sys.executable, "-m", "aximo_db", "contract", "check", str(old), str(new)]
        found = max(found, subprocess.run(command, cwd=ROOT, check=False).returncode)
    for new in sorted((root / FOLDER).glob("*.json")):
        if not (release / new.name).exists():
            print(f"{FOLDER}/{new.name} is new since {release.name}.")
    return found


if __name__ == "__main__":
    sys.exit(main())
