"""Metrics on a terminal and as JSON."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from rich.console import Console

from aximo_db.client.errors import CustomerError
from aximo_db.files.terminal import visible
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.report.query import Grain, read_metrics
from aximo_db.report.terminal import print_metrics
from aximo_db.report.values import human_ms, human_rate
from tests.conftest import BINARIES, Ledger, _cloned
from tests.metrics_story import HOSTILE, counted, history, load


@pytest.fixture(scope="module")
def filled(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module, with three customers: one with two deployments, one that is hostile, one with nothing."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "metrics_tables_test"):
        ledger.login("metrics_writer", "aximo_writer", "aximo_operator", customers=("*",))
        for name, customer in (("bi_one", "one"), ("bi_hostile", HOSTILE["customer"]), ("bi_none", "none")):
            ledger.login(name, "aximo_bi", customers=(customer,))
        ledger.login("bi_all", "aximo_bi", customers=("*",))
        writer = ledger.connect("metrics_writer")
        load(writer, "one", [*history(), *history("dep-2", "triage", "2.0")])
        names = {key: HOSTILE[key] for key in ("deployment", "skill", "version")}
        load(writer, HOSTILE["customer"], history(**names, other=HOSTILE["type"]))
        yield ledger


@pytest.fixture
def one(filled: Ledger) -> psycopg.Connection[Any]:
    return filled.connect("bi_one")


def printed(connection: psycopg.Connection[Any], width: int = 120, grain: Grain = "day", last: int = 14) -> str:
    file = io.StringIO()
    print_metrics(connection, Console(file=file, width=width, soft_wrap=True), grain=grain, last=last)
    return file.getvalue()


def row_of(text: str, *beginning: str) -> list[str]:
    """The cells of the row that begins so."""
    pattern = r"^" + r"\s+".join(re.escape(each) for each in beginning) + r"\s.*$"
    found = re.findall(pattern, text, flags=re.MULTILINE)
    assert found, (beginning, text)
    return re.split(r" {2,}", found[0].strip())


def test_the_numbers_are_those_of_the_events(filled: Ledger, one: psycopg.Connection[Any]) -> None:
    everything = filled.connect("metrics_writer")
    found = read_metrics(one)
    overview = found["overview"]
    for column, event_type in (
        ("executions", "execution_triggered"),
        ("completed", "execution_completed"),
        ("failed", "execution_failed"),
        ("actions_dispatched", "action_dispatched"),
        ("sla_breaches", "sla_breached"),
    ):
        assert overview[column] == counted(everything, "one", "event_type = %s", event_type) > 0
    assert overview["error_rate"] == 4 / 24
    assert overview["leads"] == counted(
        everything, "one", "event_type = 'action_dispatched' and payload ->> 'action_type' = 'lead_capture'"
    )
    for row in found["health"]:
        assert row["triggered"] == counted(
            everything,
            "one",
            """event_type = 'execution_triggered' and deployment_id = %s and ("timestamp" at time zone 'UTC')::date = %s""",
            row["deployment_id"],
            row["day"],
        )
    text = printed(one)
    for label, value in (
        ("executions", "24"),
        ("completed", "18"),
        ("failed", "4"),
        ("open", "2"),
        ("events", str(overview["events"])),
    ):
        assert re.search(rf"{label} +{value}\b", text), label
    assert row_of(text, "2026-03-01")[1:6] == ["8", "6", "2", "0", "25.0 %"]
    assert row_of(text, "dep-1")[1:6] == ["1.0", "active", "12", "1", "16.7 %"]
    assert row_of(text, "send_email") == ["send_email", "18", "16", "0"]
    assert row_of(text, "2026-03")[1:] == ["24", "20", "20", str(overview["events"])]


def test_json_has_numbers_as_numbers_and_days_as_iso_text(one: psycopg.Connection[Any]) -> None:
    found = read_metrics(one, "day", 2)
    assert json.loads(json.dumps(found)) == found
    assert [row["day"] for row in found["health"]] == ["2026-03-02"] * 2 + ["2026-03-03"] * 2
    assert list(found["health"][0])[:4] == ["deployment_id", "skill_id", "skill_version", "day"]
    for row in found["health"]:
        assert isinstance(row["triggered"], int)
        assert isinstance(row["execution_time_p95_ms"], float)
        assert isinstance(row["execution_time_sum_ms"], float)
    assert found["freshness"]["refreshed_at"].endswith("+00:00")
    one.execute("set timezone = 'Asia/Tokyo'")
    assert read_metrics(one, "day", 2)["overview"] == found["overview"]
    assert {row["hour"] for row in read_metrics(one, "hour", 1)["health"]} == {"2026-03-03T09:00:00+00:00"}
    assert {row["month"] for row in read_metrics(one, "month", 5)["health"]} == {"2026-03-01"}


@pytest.mark.parametrize("width", [80, 100, 120, 140])
@pytest.mark.parametrize("grain", ["day", "hour", "month"])
def test_tables_fit_the_terminal_and_cut_no_number(one: psycopg.Connection[Any], width: int, grain: Grain) -> None:
    lines = printed(one, width, grain).splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert any("2026-03" in line for line in lines)


def test_percentiles_of_several_series_are_bounds_and_no_averages(one: psycopg.Connection[Any]) -> None:
    found = read_metrics(one)
    first = [row for row in found["health"] if row["day"] == "2026-03-01"]
    worst = human_ms(max(row["execution_time_p99_ms"] for row in first))
    average = human_ms(
        sum(row["execution_time_sum_ms"] for row in first) / sum(row["execution_time_count"] for row in first)
    )
    cells = row_of(printed(one), "2026-03-01")
    assert (cells[6], cells[-2 if "alert" in cells[-1] else -1]) == (average, f"≤{worst}")


def test_a_rate_has_the_colour_of_its_level_and_only_on_a_terminal(
    one: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    print_metrics(one, Console(file=file, width=120, force_terminal=True, color_system="standard"))
    coloured = file.getvalue()
    levels = {row["deployment_id"]: row["error_level"] for row in read_metrics(one)["deployments"]}
    assert levels == {"dep-1": "escalation", "dep-2": "escalation"}
    assert re.search(r"\x1b\[1;31m *16\.7 %", coloured)
    assert re.search(r"\x1b\[32m *0\.0 %", coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    print_metrics(one, Console(file=file, width=120, force_terminal=True))
    assert not re.search(r"\x1b\[[0-9;]*3\dm", file.getvalue())
    assert "\x1b" not in printed(one)


def test_what_customers_wrote_cannot_reach_the_terminal_or_the_markup(filled: Ledger) -> None:
    text = printed(filled.connect("bi_hostile"), 140)
    assert not {char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")}
    together = re.sub(r"\s+", "", text)
    assert '<script>alert("c")</script>' in text
    assert r"\u202e" in together
    assert r"\u001b[31m" in together


def test_joined_letters_and_emoji_stay_as_they_are() -> None:
    assert visible("می\u200cخواهم 👩\u200d💻 [red]") == "می\u200cخواهم 👩\u200d💻 [red]"
    assert visible("a\u202eb\x1b\n\u2028\ufeff\U000e0041") == r"a\u202eb\u001b\u000a\u2028\ufeff\U000e0041"


def test_a_customer_without_events_gets_a_sentence(filled: Ledger) -> None:
    connection = filled.connect("bi_none")
    assert printed(connection) == "No events are counted for none yet.\n"
    found = read_metrics(connection)
    assert (found["overview"], found["health"], found["deployments"]) == (None, [], [])


def test_events_that_wait_for_a_refresh_are_spoken_of(filled: Ledger) -> None:
    writer = filled.connect("metrics_writer")
    writer.execute("select count(*) from aximo.emit_events(%s::jsonb, 'late')", (json.dumps(history()[:3]),))
    writer.execute("select aximo.advance_log()")
    reader = filled.connect("bi_all")
    reader.execute("set aximo.customer_id = 'late'")
    assert "3 are numbered and wait for aximo.refresh_metrics()" in printed(reader)
    writer.execute("select count(*) from aximo.refresh_metrics()")
    text = printed(reader)
    assert "counts up to log number 3" in text
    assert "0 behind" in text
    assert "Nothing was above its threshold." in text


def test_the_ten_worst_alerts_are_shown_and_the_rest_counted(filled: Ledger) -> None:
    writer = filled.connect("metrics_writer")
    for number in range(9):
        load(writer, "noisy", history(f"dep-{number}"))
    reader = filled.connect("bi_all")
    reader.execute("set aximo.customer_id = 'noisy'")
    found = read_metrics(reader)["alerts"]
    text = printed(reader)
    assert "Alerts, the last 3 days with events: the ten worst" in text
    rows = re.findall(r"^2026-03-\d\d +dep-\d +\w.* (escalation|warning) +([\d.]+) % +([\d.]+) %", text, re.MULTILINE)
    assert len(rows) == 10
    ratios = [float(value) / float(threshold) for _, value, threshold in rows]
    worst = sorted((row["value"] / row["threshold"] for row in found if row["level"] == "escalation"), reverse=True)
    assert ratios == pytest.approx(worst[:10], rel=0.01)
    levels = Counter(row["level"] for row in found)
    assert f"and {levels['escalation'] - 10} escalations" in text
    assert len(found) > 20


def test_of_few_a_rate_is_no_alert(filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    writer = filled.connect("metrics_writer")
    writer.execute("select count(*) from aximo.emit_events(%s::jsonb, 'few')", (json.dumps(history()),))
    writer.execute("select count(*) from aximo.refresh_metrics()")
    reader = filled.connect("bi_all")
    reader.execute("set aximo.customer_id = 'few'")
    file = io.StringIO()
    print_metrics(reader, Console(file=file, width=120, force_terminal=True, color_system="standard"))
    text = file.getvalue()
    assert "Nothing was above its threshold." in text
    assert re.search(r"\x1b\[32m *16\.7 %", text)
    assert not re.search(r"\x1b\[1;31m", text)


def test_deployments_that_nobody_declares_are_in_use(filled: Ledger, one: psycopg.Connection[Any]) -> None:
    writer = filled.connect("metrics_writer")
    events = [each for each in history() if not each["event_type"].startswith("deployment_")]
    load(writer, "undeclared", events)
    reader = filled.connect("bi_all")
    reader.execute("set aximo.customer_id = 'undeclared'")
    assert re.search(r"in use +1\b", printed(reader))
    assert not re.search(r"\bactive +\d", printed(reader))
    assert re.search(r"\bactive +2\b", printed(one))
    assert "in use" not in printed(one)


def test_leads_and_days_of_tool_runs_are_there_for_programs(one: psycopg.Connection[Any]) -> None:
    found = read_metrics(one)
    assert sum(row["leads"] for row in found["value"]) == found["overview"]["leads"]
    assert found["tool_days"] == []
    assert not {"first", "until", "before", "definitions"} & set(found)


def test_a_session_for_no_customer_is_refused(filled: Ledger) -> None:
    with pytest.raises(CustomerError):
        printed(filled.connect("bi_all"))


def test_no_buckets_cannot_be_asked_for(one: psycopg.Connection[Any]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        read_metrics(one, "day", 0)


def test_the_callers_transaction_stays_open(one: psycopg.Connection[Any]) -> None:
    with one.transaction():
        one.execute("select set_config('application_name', 'kept', true)")
        read_metrics(one)
        assert one.execute("show application_name").fetchone() == ("kept",)


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "–"),
        (0.0, "0 µs"),
        (0.012, "12 µs"),
        (0.9996, "1 ms"),
        (5.3204, "5.3 ms"),
        (999.0, "999 ms"),
        (999.6, "1 s"),
        (1234.0, "1.2 s"),
        (119_000.0, "119 s"),
        (180_000.0, "3 min"),
        (9_000_000.0, "2.5 h"),
        (864_000_000.0, "10 d"),
    ],
)
def test_durations_are_in_the_unit_that_suits_them(milliseconds: float | None, shown: str) -> None:
    assert human_ms(milliseconds) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (None, "–"),
        (0, "0.0 %"),
        (0.00001, "< 0.01 %"),
        (0.0085, "0.85 %"),
        (0.0603, "6.0 %"),
        (0.99999, "99.99 %"),
        (1, "100.0 %"),
        (2.5, "250.0 %"),
    ],
)
def test_rates_are_in_percent(rate: float | None, shown: str) -> None:
    assert human_rate(rate) == shown
