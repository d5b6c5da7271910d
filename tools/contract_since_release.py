"""Compares every contract with that of the last release: what a release would break.

python tools/contract_since_release.py

The last release is the newest tag v… behind HEAD, and not at it. Exit code 1 if something breaks that a higher version of the contract
does not declare, or if a contract is gone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "aximo_db/data/contracts"


def git(root: Path, *arguments: str) -> str:
    """What git says, or nothing where it refuses."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def last_release(root: Path) -> str | None:
    """The tag of the last release, if there is one."""
    here = set(git(root, "tag", "--points-at", "HEAD").split())
    behind = git(root, "tag", "--merged", "HEAD", "--sort=-version:refname").split()
    return next((tag for tag in behind if re.fullmatch(r"v\d+(\.\d+)*", tag) and tag not in here), None)


def main(root: Path = ROOT) -> int:
    """Compares the contracts of a checkout; returns the exit code."""
    tag = last_release(root)
    if tag is None:
        print("There is no release yet: the contracts are those of the first one.")
        if git(root, "rev-parse", "--is-shallow-repository").strip() == "true":
            print("This clone is shallow, so there may be one that it does not know: git fetch --unshallow --tags")
        return 0
    found = 0
    released = [
        name for name in git(root, "ls-tree", "--name-only", tag, f"{FOLDER}/").split() if name.endswith(".json")
    ]
    for path in released:
        print(f"{path} since {tag}:", flush=True)
        if not (root / path).exists():
            print("It is gone.")
            found = 1
            continue
        with tempfile.TemporaryDirectory() as folder:
            old = Path(folder) / "released.json"
            old.write_text(git(root, "show", f"{tag}:{path}"), encoding="utf-8")
            command = [sys.executable, "-m", "aximo_db", "contract", "check", str(old), str(root / path)]
            found = max(found, subprocess.run(command, cwd=ROOT, check=False).returncode)
    for file in sorted((root / FOLDER).glob("*.json")):
        if f"{FOLDER}/{file.name}" not in released:
            print(f"{FOLDER}/{file.name} is new since {tag}.")
    return found


if __name__ == "__main__":
    sys.exit(main())
