"""The report: one file that shows a customer's metrics, runs nothing and asks nobody."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aximo_db.embedded import EmbeddedServer
from aximo_db.errors import CustomerError, InstallationError
from aximo_db.metrics_tables import human_ms
from aximo_db.report import write_report
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
            [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)]
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
    assert [row[:4] for row in shown["Deployments"]] == [
        ["dep-1", "capture", "1.0", "active"],
        ["dep-2", "triage", "2.0", "active"],
    ]
    assert ["2026-03-01", "dep-1", "error rate", "escalation", "25.0 %", "10.0 %", "1 of 4"] in shown["Alerts"]
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


def test_without_the_library_it_says_what_to_install(
    reader: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(InstallationError) as refused:
        write_report(reader, tmp_path / "a.html", customer="one", now=NOW)
    assert "pip install 'aximo-db[report]'" in (refused.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_a_moment_without_an_offset_is_refused(reader: psycopg.Connection[Any]) -> None:
    with pytest.raises(ValueError, match="offset"):
        report(reader, "one", datetime(2026, 1, 1))  # noqa: DTZ001
