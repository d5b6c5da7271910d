"""What a release consists of: files that install and work by themselves, and what later versions are held against."""

from __future__ import annotations

import gzip
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

from aximo_db.contract import contract_names, load_contract
from tools.contract_since_release import RELEASED
from tools.smoke import smoke

ROOT = Path(__file__).resolve().parent.parent
RELEASES = sorted(path for path in (ROOT / RELEASED).iterdir() if path.is_dir())


def python(*arguments: str, cwd: Path = ROOT) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wheel_made_of_the_source_distribution_works_by_itself(tmp_path: Path) -> None:
    python("-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (unpacked,) = (tmp_path / "source").iterdir()
    for name in ("README.md", "CHANGELOG.md", "Makefile", "sql", "migrations", "tests", "docs", "tools", ".ci"):
        assert (unpacked / name).exists(), name
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=unpacked)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith("METADATA"))
        for field in ("Summary", "License-Expression", "Author", "Requires-Python", "Description-Content-Type"):
            assert f"\n{field}: " in metadata, field
    # An environment with the wheel in it, and from elsewhere only what the wheel needs.
    venv.create(tmp_path / "environment", with_pip=False)
    programs = tmp_path / "environment" / "bin"
    (site,) = (tmp_path / "environment" / "lib").glob("python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    program = programs / "aximo-db"
    program.write_text(f"#!{programs / 'python'}\nfrom aximo_db.cli.app import main\nmain()\n", encoding="utf-8")
    program.chmod(0o755)
    where = "import aximo_db, sys; sys.stdout.write(aximo_db.__file__)"
    found = subprocess.run([programs / "python", "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(site))
    smoke(programs, say=lambda _: None)


def test_each_release_is_kept_whole() -> None:
    assert RELEASES[0].name == "0.1.0"
    for release in RELEASES:
        for name in contract_names():
            assert load_contract(release / f"{name}.json").name == name
        for major in (15, 18):
            assert b"COPY aximo_private.events" in gzip.decompress((release / f"ledger-{major}.sql.gz").read_bytes())
        with tarfile.open(release / f"aximo_db-{release.name}.tar.gz") as archive:
            assert f"aximo_db-{release.name}/tests/conftest.py" in archive.getnames()
