"""The report: one file that shows a customer's metrics, runs nothing and asks nobody."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from aximo_db.client.errors import CustomerError, InstallationError
from aximo_db.local.embedded import EmbeddedServer
from aximo_db.report import write_report
from aximo_db.report.charts import COLOURS
from aximo_db.report.values import PeriodError, human_ms
from tests.conftest import BINARIES, Ledger, _cloned
from tests.metrics_story import HOSTILE, counted, history, load

NOW = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
DRAWN = {"svg", "g", "path", "line", "text", "title", "rect", "clippath", "defs"}


@pytest.fixture(scope="module")
def filled(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """One database for the module, with a customer of two deployments, a hostile one, and others."""
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "report_test"):
        ledger.login("report_writer", "aximo_writer", "aximo_operator", customers=("*",))
        ledger.login("report_bi", "aximo_bi", customers=("*",))
        ledger.login("report_one", "aximo_bi", customers=("one",))
        writer = ledger.connect("report_writer")
        load(writer, "one", [*history(), *history("dep-2", "triage", "2.0")])
        names = {key: HOSTILE[key] for key in ("deployment", "skill", "version")}
        load(writer, "quiet", history()[:3])
        load(writer, "strict", history())
        load(writer, HOSTILE["customer"], history(**names, other=HOSTILE["type"]))
        ledger.login("report_owner", "aximo_operator", customers=("strict",))
        ledger.connect("report_owner").execute("select aximo.set_threshold('error_rate', 'warning', 0.42)")
        yield ledger


@pytest.fixture
def reader(filled: Ledger) -> psycopg.Connection[Any]:
    return filled.connect("report_bi")


def report(connection: psycopg.Connection[Any], customer: str | None, now: datetime = NOW) -> str:
    file = io.StringIO()
    write_report(connection, file, customer=customer, now=now)
    return file.getvalue()


@pytest.fixture(scope="module")
def one(filled: Ledger) -> str:
    return report(filled.connect("report_bi"), "one")


@pytest.fixture(scope="module")
def hostile(filled: Ledger) -> str:
    return report(filled.connect("report_bi"), HOSTILE["customer"])


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.parts).split())


class Page(HTMLParser):
    """The elements of a page, each with the text below it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in ("meta", "link", "img", "br", "input"):
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        # A definition belongs to its word, and to nothing around it.
        inside = next((place for place, each in enumerate(self._open) if each.attributes.get("role") == "tooltip"), 0)
        for element in self._open[inside:]:
            element.parts.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        return [
            each
            for each in self.elements
            if each.tag == tag
            and all(each.attributes.get(name.rstrip("_")) == value for name, value in attributes.items())
        ]

    def section(self, key: str) -> Page:
        """One section of the page."""
        return Page(re.findall(rf'(<section aria-labelledby="{key}">.*?</section>)', self.html, flags=re.DOTALL)[0])

    def card(self, label: str, section: str = "overview") -> str:
        """What a card says: its label, its value and what is below."""
        found = self.section(section).all("li", class_="card")
        cards = (" ".join(" ".join(each.parts).split()) for each in found)
        return next(text for text in cards if text.startswith(label + " "))


def tables(html: str) -> dict[str, list[list[str]]]:
    """The rows of each table, by its label."""
    found: dict[str, list[list[str]]] = {}
    for label, body in re.findall(
        r'role="region" aria-label="([^"]*)"><table><caption>.*?<tbody>(.*?)</tbody>', html, flags=re.DOTALL
    ):
        rows = re.findall(r"<tr>(.*?)</tr>", body, flags=re.DOTALL)
        found[label] = [
            [
                re.sub(r"<[^>]*>", "", cell).strip()
                for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)
            ]
            for row in rows
        ]
    return found


def test_the_numbers_are_those_of_the_events(filled: Ledger, one: str) -> None:
    events = filled.connect("report_writer")
    page, shown = Page(one), tables(one)
    total = counted(events, "one", "true")
    triggered, completed, failed = (
        counted(events, "one", "event_type = %s", f"execution_{name}") for name in ("triggered", "completed", "failed")
    )
    leads = counted(events, "one", "event_type = 'action_dispatched' and payload ->> 'action_type' = 'lead_capture'")
    assert page.card("executions") == f"executions {triggered} {completed} completed"
    assert page.card("error rate") == f"error rate {failed / triggered:.1%} {failed} failed escalation".replace(
        "%", " %"
    )
    assert page.card("leads") == f"leads {leads}"
    assert page.card("lead conversion").startswith(f"lead conversion {leads / triggered:.1%}".replace("%", " %"))
    assert page.card("events").startswith(f"events {total:,} since 2026-03-01")
    for day, *cells in shown["Executions, numbers"]:
        here = """("timestamp" at time zone 'UTC')::date = %s and event_type = %s"""
        assert cells[:2] == [
            str(counted(events, "one", here, day, f"execution_{name}")) for name in ("completed", "failed")
        ]
    assert [row[-1] for row in shown["Executions, numbers"]] == ["0", "0", "2"]
    assert shown["Error rate, numbers"][0] == ["2026-03-01", "2", "8", "25.0 %", "escalation"]
    assert shown["Approvals, numbers"] == [["2026-03-01", "2", "2", "0", "0"]]
    assert shown["Time to an answer, average, numbers"] == [["2026-03-01", "4 s"]]
    assert shown["Actions by type"] == [["send_email", "18", "16", "0"], ["lead_capture", "4", "4", "0"]]
    assert shown["Billing by month"] == [["2026-03", "24", "20", "20", f"{total:,}"]]
    assert [row[:4] for row in shown["Deployments, state and totals"]] == [
        ["dep-1", "capture", "1.0", "active"],
        ["dep-2", "triage", "2.0", "active"],
    ]
    assert ["2026-03-01", "dep-1", "error rate", "escalation", "25.0 %", "10.0 %", "1 of 4"] in shown[
        "Alerts, the worst"
    ]
    assert f"Counts up to log number {total:,}, refreshed at " in one
    assert "0 behind" in one
    assert "1 Mar 2026 to 3 Mar 2026" in one


def test_percentiles_are_those_of_one_deployment_and_version_each(reader: psycopg.Connection[Any], one: str) -> None:
    shown = tables(one)
    with reader.transaction():
        reader.execute("select set_config('aximo.customer_id', 'one', true)")
        for row in reader.execute(
            "select deployment_id, skill_id, skill_version, day, execution_time_p50_ms, execution_time_p95_ms, execution_time_p99_ms"
            " from aximo_metrics.execution_health where execution_time_count > 0"
        ):
            label = f"Execution time by day of {row[0]}, {row[1]} {row[2]}, numbers"
            cells = next(cells for cells in shown[label] if cells[0] == row[3].isoformat())
            assert cells[3:] == [human_ms(value) for value in row[4:]]


@pytest.mark.parametrize("which", ["one", "hostile"])
def test_it_runs_nothing_and_asks_nobody(which: str, request: pytest.FixtureRequest) -> None:
    html: str = request.getfixturevalue(which)
    page = Page(html)
    assert not {each.tag for each in page.elements} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "image",
        "use",
        "foreignobject",
        "form",
        "base",
    }
    for each in page.elements:
        for name, value in each.attributes.items():
            assert not name.startswith("on"), each
            assert name not in ("src", "srcset", "style", "xlink:href", "action", "formaction", "ping"), each
            if name == "href":
                assert value is not None
                assert re.fullmatch("#[a-z-]+", value)
            if name not in ("xmlns", "aria-label", "title"):
                assert "http" not in (value or ""), each
    style = page.all("style")
    assert len(style) == 1
    sheet = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in sheet
    assert "@import" not in sheet
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"]
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    # The policy comes before all that it is about.
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_what_customers_wrote_is_shown_as_they_wrote_it(hostile: str) -> None:
    page = Page(hostile)
    assert page.all("h1")[0].text == f"Metrics of {HOSTILE['customer']}"
    assert not {char for char in hostile if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")}
    names = [each.text for each in page.all("bdi")]
    assert r'"><img src=x onerror=alert(1)>\u202egnp.exe' in names
    assert r"[bold]s[/bold] \u001b]0;title\u0007" in names
    assert r"</script><script>alert(2)</script>\u2066\u001b[31m" in names
    drawn = " ".join(each.text for each in page.all("text"))
    assert "</script>" in drawn


def test_charts_are_drawn_for_wide_and_narrow_windows_and_say_what_they_are(one: str) -> None:
    page = Page(one)
    charts = [each for each in page.all("svg") if each.attributes.get("role") == "img"]
    kinds = [str(each.attributes["class"]) for each in charts]
    assert kinds.count("chart wide") == kinds.count("chart narrow") == 9
    assert kinds.count("chart small") == 2
    assert all(each.attributes.get("aria-label") and each.attributes.get("viewbox") for each in charts)
    for each in page.all("div", role="region"):
        assert each.attributes["tabindex"] == "0"
        assert each.attributes["aria-label"]
    told = [each.text for each in page.all("title")]
    assert "1 Mar 2026 completed: 6 failed: 2 open: 0" in told
    inside = set(
        re.findall(
            r"<([a-zA-Z]+)",
            "".join(re.findall(r"<svg class=\"chart.*?</svg>|<svg xmlns.*?</svg>", one, flags=re.DOTALL)),
        )
    )
    assert {each.lower() for each in inside} <= DRAWN
    ids = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert len(ids) == len(set(ids))


def test_every_colour_has_one_for_the_dark(one: str, hostile: str) -> None:
    sheet = one.split("<style>")[1].split("</style>")[0]
    assert re.search(r"@media screen and \(prefers-color-scheme:dark\) \{\s*:root \{", sheet)
    for html in (one, hostile):
        page = Page(html)
        used = {
            (name, each.attributes[name])
            for each in page.elements
            for name in ("fill", "stroke")
            if name in each.attributes
        }
        for name, colour in used - {("fill", "none")}:
            assert f'svg [{name}="{colour}"]{{' in sheet, (name, colour)
    assert page.all("meta", name="color-scheme")[0].attributes["content"] == "light dark"


def test_definitions_are_the_comments_of_the_views(filled: Ledger, one: str) -> None:
    page = Page(one)
    defined = list(zip((each.text for each in page.all("dt")), (each.text for each in page.all("dd")), strict=True))
    comments = (
        filled.connect("report_bi")
        .execute(
            """
        select a.attname, col_description(a.attrelid, a.attnum)
        from pg_catalog.pg_attribute as a
        where a.attnum > 0 and a.attrelid in (
            'aximo_metrics.customer_overview'::regclass, 'aximo_metrics.execution_health'::regclass,
            'aximo_metrics.alerts'::regclass, 'aximo_metrics.freshness'::regclass
        )
        """
        )
        .fetchall()
    )
    assert len(comments) > 40
    for name, comment in comments:
        assert (name, " ".join(comment.split())) in defined


def test_a_customer_without_events_gets_a_sentence(reader: psycopg.Connection[Any]) -> None:
    html = report(reader, "nobody")
    page = Page(html)
    assert page.all("p", class_="none")[0].text == "No events are counted for nobody yet."
    assert not page.all("svg")
    assert not page.all("table")


def test_sections_with_nothing_to_show_say_so(reader: psycopg.Connection[Any]) -> None:
    page = Page(report(reader, "quiet"))
    assert [each.text for each in page.all("p", class_="none")] == [
        "There were no executions.",
        "No execution ended.",
        "There were no actions.",
        "There were no leads.",
        "No approvals were requested.",
        "No service level was missed, and nothing was escalated.",
        "Nothing of a deployment was above its threshold.",
    ]
    assert page.card("error rate") == "error rate – 0 failed"
    assert not page.all("svg")


def test_a_customers_own_thresholds_are_drawn(reader: psycopg.Connection[Any]) -> None:
    html = report(reader, "strict")
    assert "warning above 42.0 %" in html
    assert "escalation above 10.0 %" in html


def test_it_is_the_same_for_the_same_metrics_and_moment(
    reader: psycopg.Connection[Any], one: str, hostile: str
) -> None:
    assert report(reader, "one") == one
    assert report(reader, HOSTILE["customer"]) == hostile
    reader.execute("set timezone = 'Asia/Tokyo'")
    assert report(reader, "one") == one


def test_the_session_stays_as_it_was(reader: psycopg.Connection[Any]) -> None:
    reader.execute("set aximo.customer_id = 'elsewhere'")
    report(reader, "one")
    with reader.transaction():
        reader.execute("select set_config('aximo.customer_id', 'here', true)")
        report(reader, "one")
        assert reader.execute("show aximo.customer_id").fetchone() == ("here",)
    assert reader.execute("show aximo.customer_id").fetchone() == ("elsewhere",)


def test_a_login_of_one_customer_gets_its_own_and_no_other(filled: Ledger, one: str) -> None:
    connection = filled.connect("report_one")
    assert report(connection, None) == one
    with pytest.raises(CustomerError):
        report(connection, HOSTILE["customer"])
    with pytest.raises(CustomerError):
        report(filled.connect("report_bi"), None)


def test_a_file_is_there_when_all_of_it_is(reader: psycopg.Connection[Any], one: str, tmp_path: Path) -> None:
    write_report(reader, tmp_path / "a.html", customer="one", now=NOW)
    write_report(reader, str(tmp_path / "b.html"), customer="one", now=NOW)
    assert [each.name for each in sorted(tmp_path.iterdir())] == ["a.html", "b.html"]
    assert all(each.read_bytes() == one.encode() for each in tmp_path.iterdir())
    with pytest.raises(OSError, match="none"):
        write_report(reader, tmp_path / "none" / "c.html", customer="one", now=NOW)


@pytest.mark.parametrize("missing", ["vl_convert", "jinja2"])
def test_without_either_library_it_says_what_to_install(
    missing: str, reader: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InstallationError) as refused:
        write_report(reader, tmp_path / "a.html", customer="one", now=NOW)
    assert "pip install 'aximo-db[report]'" in (refused.value.hint or "")
    assert list(tmp_path.iterdir()) == []


# Periods


def of_period(connection: psycopg.Connection[Any], customer: str = "one", now: datetime = NOW, **period: Any) -> str:
    file = io.StringIO()
    write_report(connection, file, customer=customer, now=now, **period)
    return file.getvalue()


def test_a_period_has_its_own_days_and_the_ones_before_beside_them(
    filled: Ledger, reader: psycopg.Connection[Any]
) -> None:
    events = filled.connect("report_writer")
    html = of_period(reader, first=date(2026, 3, 2), until=date(2026, 3, 2))
    page, shown = Page(html), tables(html)
    assert "2 Mar 2026, 1 days" not in html
    assert [row[0] for row in shown["Executions, numbers"]] == ["2026-03-02"]
    assert {row[0] for row in shown["Alerts, the worst"]} == {"2026-03-02"}
    assert "Before is 1 Mar 2026, as many days." in html
    counts = [
        counted(events, "one", "event_type = %s and (\"timestamp\" at time zone 'UTC')::date = %s", kind, day)
        for kind in ("execution_triggered", "action_dispatched")
        for day in ("2026-03-02", "2026-03-01")
    ]
    assert page.card("executions", "period").startswith(f"executions {counts[0]} ")
    assert page.card("executions", "period").endswith(f"before: {counts[1]}, unchanged")
    assert page.card("actions dispatched", "period").startswith(f"actions dispatched {counts[2]} before: {counts[3]}, ")
    assert counts[2] != counts[3]
    # 2 of 8 failed on each of both days; approvals were requested on the first only.
    assert page.card("error rate", "period") == "error rate 25.0 % 2 failed escalation before: 25.0 %, unchanged"
    assert page.card("approvals requested", "period") == "approvals requested 0 before: 4, down 100 %"
    assert page.card("escalations", "period") == "escalations 2 before: 0, none before"
    # Totals stay those since the beginning.
    assert page.card("executions").startswith("executions 24 ")


def test_part_of_a_period_is_compared_with_nothing(reader: psycopg.Connection[Any]) -> None:
    html = of_period(reader, first=date(2026, 3, 2))
    assert "Events begin on 1 Mar 2026: of as many days before there is no whole to compare with." in html
    assert "before:" not in html
    assert "before:" not in of_period(reader)


def test_the_last_days_are_whole_ones_and_today_is_marked(reader: psycopg.Connection[Any]) -> None:
    noon = datetime(2026, 3, 3, 12, tzinfo=UTC)
    whole = of_period(reader, now=noon, last="2d")
    assert "1 Mar 2026 to 2 Mar 2026" in whole
    assert "not over" not in whole
    running = of_period(reader, now=noon)
    assert "1 Mar 2026 to 3 Mar 2026. 3 Mar 2026 is not over." in running
    assert [row[0] for row in tables(running)["Executions, numbers"]] == [
        "2026-03-01",
        "2026-03-02",
        "2026-03-03, not over",
    ]
    legends = [each.text for each in Page(running).all("li")]
    assert legends.count("day that is not over") == 9
    charts = re.findall(r"<svg xmlns.*?</svg>", running, flags=re.DOTALL)
    painted = [f'fill="{COLOURS["running"][0]}"' in each for each in charts]
    # Not the two of actions by type, which have no days.
    assert painted.count(False) == 2 < painted.count(True)
    week = of_period(reader, last="1w", until=date(2026, 3, 3))
    assert "25 Feb 2026 to 3 Mar 2026" in week


def test_days_without_any_event_are_said_to_have_none(reader: psycopg.Connection[Any]) -> None:
    page = Page(of_period(reader, last="30d"))
    assert page.all("p", class_="none")[0].text == "There were no executions."
    assert page.card("executions", "period") == "executions 0 0 completed before: 0, unchanged"
    assert page.card("executions").startswith("executions 24 ")
    assert Page(of_period(reader, first=date(2099, 1, 1))).all("p", class_="none")
    assert Page(of_period(reader, until=date(2020, 1, 1))).all("p", class_="none")


@pytest.mark.parametrize(
    "period",
    [
        {"last": "30"},
        {"last": "0d"},
        {"last": "3 months"},
        {"last": "9999w", "until": date(1, 1, 2)},
        {"last": "401d"},
        {"last": "3d", "first": date(2026, 1, 1)},
        {"first": date(2026, 1, 2), "until": date(2026, 1, 1)},
        {"first": date(2020, 1, 2), "until": date(2026, 1, 1)},
    ],
)
def test_a_period_that_is_none_is_refused(period: dict[str, Any], reader: psycopg.Connection[Any]) -> None:
    with pytest.raises(PeriodError):
        of_period(reader, **period)


# What is told


def test_the_ten_worst_alerts_are_shown_and_the_rest_counted(filled: Ledger, reader: psycopg.Connection[Any]) -> None:
    writer = filled.connect("report_writer")
    for number in range(9):
        load(writer, "noisy", history(f"dep-{number}"))
    html = report(reader, "noisy")
    rows = tables(html)["Alerts, the worst"]
    with reader.transaction():
        reader.execute("select set_config('aximo.customer_id', 'noisy', true)")
        found = reader.execute("select level, value / threshold, day from aximo_metrics.alerts").fetchall()
    assert len(rows) == 10 < len(found)
    worst = sorted((ratio for level, ratio, _ in found if level == "escalation"), reverse=True)
    # Printed with one digit.
    shown = [float(row[4].rstrip(" %")) / float(row[5].rstrip(" %")) for row in rows]
    assert shown == pytest.approx(worst[:10], rel=0.01)
    rest = sum(level == "escalation" for level, _, _ in found) - 10
    assert len(found) == rest + 10
    assert re.search(rf"and {rest} escalations more, in [123] days?<", html)


def test_of_few_there_is_no_alert_and_no_level(filled: Ledger, reader: psycopg.Connection[Any]) -> None:
    writer = filled.connect("report_writer")
    writer.execute("select count(*) from aximo.emit_events(%s, 'few')", (Jsonb(history()),))
    writer.execute("select count(*) from aximo.refresh_metrics()")
    html = report(reader, "few")
    page = Page(html)
    assert page.card("error rate") == "error rate 16.7 % 2 failed ok"
    assert page.section("alerts").all("p", class_="none")[0].text == "Nothing of a deployment was above its threshold."
    assert page.section("alerts").all("p", class_="note")[0].text == "What is out of fewer than 20 raises none."


def test_deployments_that_nobody_declares_are_in_use(filled: Ledger, reader: psycopg.Connection[Any]) -> None:
    writer = filled.connect("report_writer")
    events = [*history(), *history("dep-2"), *history("dep-3")]
    executed = [each for each in events if not each["event_type"].startswith("deployment_")]
    load(
        writer,
        "undeclared",
        [each for each in executed if each["deployment_id"] != "dep-3" or "-01T" in each["timestamp"]],
    )
    assert Page(report(reader, "undeclared")).card("deployments") == "deployments 3 3 in use"
    late = Page(of_period(reader, "undeclared", first=date(2026, 3, 2)))
    assert late.card("deployments") == "deployments 3 2 in use"
    assert Page(report(reader, "one")).card("deployments") == "deployments 2 2 active"


def test_tool_runs_are_shown_with_and_without_events(filled: Ledger, reader: psycopg.Connection[Any]) -> None:
    gateway = filled.connect("report_writer")
    for customer in ("tools", "one"):
        with gateway.transaction():
            gateway.execute("select set_config('aximo.customer_id', %s, true)", (customer,))
            for number, kind in enumerate(("succeeded", "succeeded", "failed", "blocked")):
                run = f"{customer}_{number}"
                gateway.execute(
                    "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status)"
                    " values (%s, 'project', %s, 'v1', 'sha256:p', 'sha256:q', 'running')",
                    (run, HOSTILE["type"]),
                )
                for each in ("started", kind):
                    gateway.execute("insert into helix.run_events (run_id, kind) values (%s, %s)", (run, f"run.{each}"))
    gateway.execute("select count(*) from aximo.refresh_metrics()")
    html = report(reader, "tools")
    page = Page(html)
    (row,) = tables(html)["Runs by tool"]
    assert row[1:5] == ["4", "2", "1", "1"]
    assert page.all("p", class_="none")[0].text == "No events are counted for tools yet."
    assert [each.attributes["id"] for each in page.all("h2")] == ["tool-runs", "definitions"]
    day = datetime.now(UTC).date()
    both = Page(of_period(reader, first=day, until=day))
    assert both.card("tool runs", "period") == "tool runs 4 before: 0, none before"


# For who can't see it, or has no pointer


def test_words_have_definitions_for_pointer_and_keyboard(one: str) -> None:
    page = Page(one)
    tips = {each.attributes["id"]: each.text for each in page.all("span", role="tooltip")}
    words = page.all("dfn")
    assert len(words) == len(tips) > 40
    for word in words:
        assert word.attributes["tabindex"] == "0"
        assert tips.pop(str(word.attributes["aria-describedby"]))
    defined = {each.text for each in page.all("dd")}
    assert {each.text for each in page.all("span", role="tooltip")} <= defined
    sheet = one.split("<style>")[1].split("</style>")[0]
    assert '.term:hover [role="tooltip"], .term:focus [role="tooltip"] { display: block; }' in sheet


def test_it_has_landmarks_headings_and_headers_of_tables(one: str) -> None:
    page = Page(one)
    for tag in ("header", "nav", "main", "footer", "h1"):
        assert len(page.all(tag)) == 1, tag
    ids = {each.attributes["id"] for each in page.elements if "id" in each.attributes}
    for link in page.all("a"):
        assert str(link.attributes["href"]).removeprefix("#") in ids
    for each in page.all("section"):
        assert each.attributes["aria-labelledby"] in ids
    assert len(page.all("figure")) == len(page.all("figcaption")) > 8
    assert all(each.attributes["scope"] in ("col", "row") for each in page.all("th"))
    for body in re.findall(r"<tbody>(.*?)</tbody>", one, flags=re.DOTALL):
        for row in re.findall(r"<tr>(.*?)</tr>", body, flags=re.DOTALL):
            assert row.count('<th scope="row"') == 1
    assert len(page.all("caption")) == len(page.all("table"))
    names = [each.text for each in page.all("h2")] + [
        str(each.attributes["aria-label"]) for each in page.all("div", role="region")
    ]
    assert len(names) == len(set(names))
    levels = [int(each.tag[1]) for each in page.elements if re.fullmatch("h[1-6]", each.tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(each * 2 for each in digits)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one_colour: str, other: str) -> float:
    lighter, darker = sorted((luminance(one_colour), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_text_stands_out_from_its_ground(one: str) -> None:
    sheet = one.split("<style>")[1].split("</style>")[0]
    themes = re.findall(r":root \{([^}]*--bg[^}]*--tip[^}]*)\}", sheet)
    assert len(themes) == 2
    for place, theme in enumerate(themes):
        colour = dict(re.findall(r"--([\w-]+): (#\w+);", theme))
        pairs = [(text, ground) for text in ("ink", "dim", "link") for ground in ("bg", "card")]
        pairs += [(level, f"{level}-bg") for level in ("ok", "warning", "escalation")] + [("tip-ink", "tip")]
        for text, ground in pairs:
            assert contrast(colour[text], colour[ground]) >= 4.5, (place, text, ground)
        assert contrast(COLOURS["text"][place], colour["card"]) >= 4.5
        for name in set(COLOURS) - {"text", "grid", "axis", "running", "open"}:
            assert contrast(COLOURS[name][place], colour["card"]) >= 2.6, (place, name)


def test_a_moment_without_an_offset_is_refused(reader: psycopg.Connection[Any]) -> None:
    with pytest.raises(ValueError, match="offset"):
        report(reader, "one", datetime(2026, 1, 1))  # noqa: DTZ001
