"""Goes through the main commands of an installed package, as somebody would who has nothing but a wheel.

python -m tools.smoke FOLDER_OF_PROGRAMS

In an empty folder: up, import, advance, trace, verify, doctor, down. Stops at the first that fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

LINES = [
    {
        "event_type": name,
        "execution_id": "exec-1",
        "deployment_id": "d",
        "skill_id": "s",
        "skill_version": "1",
        "actor": "system",
    }
    for name in ("execution_triggered", "execution_processing", "execution_completed")
]


def smoke(programs: Path, say: Callable[[str], object] = print) -> None:
    """Runs the commands, and checks what they say.

    Args:
        programs: the folder that aximo-db was installed into.
        say: is told each command before it runs.

    Raises:
        subprocess.CalledProcessError: a command failed; its output is in it.
        AssertionError: a command said something else than expected.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AXIMO_", "PYTHON"))}
    with tempfile.TemporaryDirectory(prefix="aximo-", ignore_cleanup_errors=True) as folder:

        def run(*arguments: str) -> str:
            say("aximo-db " + " ".join(arguments))
            command = [str(programs.resolve() / "aximo-db"), *arguments]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
            return done.stdout

        (Path(folder) / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES), encoding="utf-8")
        environment["AXIMO_DB_URL"] = json.loads(run("up", "--detach", "--json"))["owner"]
        try:
            run("import", "events.jsonl", "--customer", "acme")
            run("advance")
            steps = json.loads(run("trace", "exec-1", "--customer", "acme", "--json"))
            assert len(json.dumps(steps).split('"event_type"')) == len(LINES) + 1, steps
            run("verify", "--customer", "acme")
            run("doctor")
        finally:
            run("down")


if __name__ == "__main__":
    try:
        smoke(Path(sys.argv[1]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{error.stdout}{error.stderr}")
