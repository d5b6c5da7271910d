"""The documentation does what it says: its examples run, its registers are complete, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from aximo_db.client.errors import _MALFORMED, register
from aximo_db.client.events import _REQUIRED
from aximo_db.client.statements import OLDEST_SCHEMA
from tools import reference, sentences

from .conftest import BINARIES, Ledger
from .vault_support import key_file, vault_database

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = [page for page in PAGES if re.search(r"^```(python|sql)$", page.read_text(encoding="utf-8"), re.MULTILINE)]
REGISTER = ROOT / "docs" / "errors.md"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


# Examples

# Whom a block of SQL speaks as is its first line, "-- as …"; Python and other SQL speak as the service.
LOGINS = {"the owner": "dba", "a superuser": "postgres", "the service": "service"}


@pytest.fixture
def vault_dsn(one_ledger: Ledger) -> Iterator[str]:
    with vault_database(one_ledger.server, "docs_vault") as dsn:
        yield dsn


@pytest.mark.parametrize("page", EXAMPLES, ids=name)
def test_the_examples_of_a_page_run_in_order(
    page: Path, one_ledger: Ledger, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    one_ledger.login("service", "aximo_writer", "aximo_operator", customers=("*",))
    monkeypatch.setenv("AXIMO_DB_URL", one_ledger.dsn("service"))
    monkeypatch.setenv("DOCS_OWNER_URL", one_ledger.dsn())
    if "PostgresVault()" in page.read_text(encoding="utf-8"):
        monkeypatch.setenv("AXIMO_VAULT_URL", request.getfixturevalue("vault_dsn"))
        monkeypatch.setenv("AXIMO_VAULT_KEY_FILE", str(key_file(tmp_path)))
    known = logins(one_ledger)
    variables: dict[str, object] = {"__name__": "example"}
    try:
        for line, language, text in blocks(page):
            where = f"{name(page)}:{line}"
            if language == "python":
                exec(compile("\n" * line + text, where, "exec"), variables)
            else:
                run_sql(one_ledger, text, where)
    finally:
        drop_logins(one_ledger, logins(one_ledger) - known)


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(python|sql)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text[: match.start()].count("\n") + 1, match[1], match[2]


def run_sql(ledger: Ledger, text: str, where: str) -> None:
    """Runs a block; one that holds "-- refused: CODE" has to be refused with that code."""
    who = re.match(r"-- as ([a-z_ ]+)", text)
    login = LOGINS.get(who[1].strip(), who[1].strip()) if who else "service"
    refused = re.search(r"-- refused: (\w{5})", text)
    with psycopg.connect(ledger.dsn(login), autocommit=True) as connection:
        if refused is None:
            connection.execute(text)
            return
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(text)
        assert caught.value.sqlstate == refused[1], where


def logins(ledger: Ledger) -> set[str]:
    with psycopg.connect(ledger.dsn("postgres")) as connection:
        return {row[0] for row in connection.execute("select rolname from pg_roles")}


def drop_logins(ledger: Ledger, names: set[str]) -> None:
    with psycopg.connect(ledger.dsn("postgres"), autocommit=True) as connection:
        for login in names:
            role = sql.Identifier(login)
            connection.execute(sql.SQL("drop owned by {}; drop role {}").format(role, role))


def test_a_newcomer_may_paste_the_readme(tmp_path: Path) -> None:
    """What stands between the demo and the installation, in order, by the printed line of ``aximo-db up``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text[text.index("### A ledger to play with") : text.index("## Install it")]
    binaries = next(iter(BINARIES.values()))
    path = f"{Path(sys.executable).parent}:{binaries}:{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "AXIMO_"))} | {
        "PATH": path
    }

    def bash(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    how = {
        "console": "{}",
        "python": "python - <<'PASTED'\n{}\nPASTED",
        "sql": "psql \"$AXIMO_DB_URL\" -v ON_ERROR_STOP=1 <<'PASTED'\n{}\nPASTED",
    }
    try:
        printed = bash("aximo-db up -d")
        (export,) = re.findall(r"^ *(export AXIMO_DB_URL=.+)$", printed, re.MULTILINE)
        script = [export]
        for language, block in re.findall(r"^```(console|python|sql)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL):
            script.append(
                how[language].format("".join(re.findall(r"^(?!make up|export PATH).*\n", block, re.MULTILINE)))
            )
        seen = bash("\n".join(script))
    finally:
        bash("aximo-db down")
    for shown in ("deployment_created", "execution_completed", "exec-1"):
        assert shown in seen


# The script for hardening


def test_the_hardened_ledger_still_works(one_ledger: Ledger) -> None:
    service = one_ledger.login("service", "aximo_writer", customers=("acme",))
    stranger = one_ledger.login("stranger")
    script = (ROOT / "docs" / "hardening.sql").read_text(encoding="utf-8")
    for login in ("dba", "postgres"):
        with one_ledger.connect(login) as connection:
            connection.execute(script)
    with one_ledger.connect(service) as connection:
        connection.execute("select * from aximo.emit_event('deployment_created', 'd', 's', '1', 'operator')")
        assert connection.execute("select count(*) from aximo.events").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create temporary table t (a int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create table public.t (a int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("do $$ begin end $$")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select lo_create(0)")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        one_ledger.connect(stranger)
    with one_ledger.connect() as connection:
        connection.execute("set role aximo_owner; do $$ begin end $$")


# The register of errors


def registered() -> tuple[set[str], set[str]]:
    """Codes and rules of docs/errors.md: what stands in the first column of its tables."""
    text = REGISTER.read_text(encoding="utf-8")
    own, foreign = text.split("## PostgreSQL's own codes")
    rows = re.findall(r"^\| (`[^|]+) \|", own, re.MULTILINE)
    names = {entry for row in rows for entry in re.findall(r"`(\w+)`", row)}
    codes = {entry for entry in names if re.fullmatch(r"[0-9A-Z]{5}", entry)}
    assert set(_MALFORMED.items()) <= set(re.findall(r"^\| `(\w{5})` \|.*\| `(\w+)` \|$", foreign, re.MULTILINE))
    return codes, names - codes


def sources(folder: str, suffix: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob(f"*{suffix}")))


def rules_in_sql() -> set[str]:
    text = sources("sql", ".sql")
    domains = (ROOT / "sql" / "04_events" / "domains.sql").read_text(encoding="utf-8")
    malformed = (ROOT / "sql" / "05_emit" / "refuse_malformed.sql").read_text(encoding="utf-8")
    found = set(re.findall(r"constraint = '(\w+)'", text))
    found |= set(re.findall(r"constraint = coalesce\(.*, '(\w+)'\)", text))
    found |= set(re.findall(r"problem_rule := '(\w+)'", text))
    found |= set(re.findall(r"^\s*constraint (\w+) check", domains, re.MULTILINE))
    # The rules of a life are named in CASE, or returned.
    body = (ROOT / "sql" / "05_emit" / "broken_rule.sql").read_text(encoding="utf-8")
    found |= set(re.findall(r"(?:then|return) '([a-z]+(?:_[a-z]+)+)'", body))
    found -= set(re.findall(r"case when [^\n]*(?:<>|is distinct from)[^\n]* then '(\w+)' end", text))
    # What contradicts a deployment's life is named where it is worked out.
    contradictions = (ROOT / "sql" / "08_log" / "deployment_violations.sql").read_text(encoding="utf-8")
    found |= set(re.findall(r"(?:^\s*|\bthen |\belse )'(no_\w+|runs_\w+)'", contradictions, re.MULTILINE))
    # refuse_malformed makes names of a field and a type.
    # Guards and imports choose the rule before they raise.
    for chosen in re.findall(r"\brule := (.*?);\n", sources("sql", ".sql"), re.DOTALL):
        found |= set(re.findall(r"(?:^|\bthen )'(\w+)'", chosen))
    fields = re.findall(r"\('(\w+)', '(\w+)', '([\w.]+)'\)", malformed)
    assert len(fields) == 16
    found |= {f"{field}_is_{json_type}" for field, json_type, _ in fields}
    required = re.search(r"field\.name in \(([^)]+)\)", malformed)
    assert required is not None
    found |= {f"{field}_present" for field in [*re.findall(r"\w+", required[1]), "execution_id"]}
    parsed = ("uuid", "aximo_private.moment", "aximo_private.milliseconds")  # of these, text may be none at all
    found |= {f"{field}_well_formed" for field, _, domain in fields if domain in parsed}
    return found


def rules_in_python() -> set[str]:
    text = sources("aximo_db", ".py") + sources("aximo_db", ".sql")
    found = set(re.findall(r"rule=\"(\w+)\"", text)) | set(_MALFORMED.values())
    found |= {f"{field}_present" for field in _REQUIRED}
    # What comes before a migration is SQL of the package.
    found |= set(re.findall(r"constraint = '(\w+)'", text))
    return found - {"demo"}  # the demo's own check of itself


def test_every_code_is_registered_and_raised() -> None:
    raised = set(re.findall(r"'(ZX[A-Z]{3})'", sources("sql", ".sql"))) | {
        "ZXVER",
        "ZXVLT",
        "ZXCON",
        "08006",
        "08001",
        "25006",
    }
    assert set(register) == raised
    assert registered()[0] == raised


def test_every_class_stands_beside_its_code() -> None:
    text = REGISTER.read_text(encoding="utf-8")
    for code, cls in register.items():
        assert re.search(rf"^\| `{code}` \| `{cls.__name__}` \|", text, re.MULTILINE), code


def test_every_rule_is_registered_and_used() -> None:
    used = rules_in_sql() | rules_in_python()
    documented = registered()[1]
    assert used - documented == set(), "not in docs/errors.md"
    assert documented - used == set(), "in docs/errors.md only"


def test_every_sentence_of_an_error_is_listed() -> None:
    # "make generated" writes the list.
    for path, text in sentences.made().items():
        assert path.read_text(encoding="utf-8") == text


# The reference


def test_the_reference_is_up_to_date(one_ledger: Ledger) -> None:
    with one_ledger.connect("postgres", options="-c search_path=pg_catalog") as connection:
        assert reference.render(connection) == reference.TARGET.read_text(encoding="utf-8")


# Links and names


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "hardening.sql"], ids=name)
def test_a_page_names_no_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!github\.com|www\.postgresql\.org|keepachangelog\.com|semver\.org)", text)
    assert not re.search(r"(?<![\w.])/(?:tmp|work|root|home)/", text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    from aximo_db.cli.app import app

    commands = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    commands |= {group.typer_instance.info.name for group in app.registered_groups if group.typer_instance is not None}
    text = page.read_text(encoding="utf-8")
    for command in re.findall(r"\baximo-db ([a-z][a-z-]*)\b", text):
        assert command in commands, command
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)`", text):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_says_which_versions() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "PostgreSQL 15 to 18" in text
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "Python 3.11" in text
    assert OLDEST_SCHEMA >= 1


def test_nothing_in_the_docs_is_kept_out_by_git() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(
        ["git", "check-ignore", *(name(page) for page in PAGES)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert listed.stdout == ""
