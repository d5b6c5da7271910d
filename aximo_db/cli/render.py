"""Tables, trees and lines of a terminal, made of what the commands found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from aximo_db.client.events import Approval, Execution, LogEntry, TraceStep
from aximo_db.client.run_events import Run, RunEvent, RunLogEntry
from aximo_db.dba.assets import HEAD_SCHEMA_VERSION
from aximo_db.dba.doctor import Finding
from aximo_db.dba.revisions import announced
from aximo_db.dba.verify_log import LogVerdict
from aximo_db.dba.verify_metrics import MetricsVerdict
from aximo_db.files.terminal import UNLIMITED, AtLeast, WholeTable, duration, moment
from aximo_db.lines.run_files import RunLogSummary

if TYPE_CHECKING:
    from aximo_db.dba.migrate import Migration, SchemaState
    from aximo_db.dba.move import MoveReport
    from aximo_db.dba.revisions import Revision

__all__ = [
    "abandoned",
    "approvals_table",
    "executions_table",
    "findings_table",
    "log_entry",
    "log_verdict",
    "metrics_verdict",
    "migration",
    "moved",
    "run_log_differences",
    "run_log_entry",
    "run_tree",
    "runs_table",
    "schema_state",
    "trace_tree",
]

_STYLES = {
    "execution_completed": "green",
    "execution_failed": "bold red",
    "action_failed": "red",
    "action_dispatched": "green",
    "approval_requested": "yellow",
    "approval_granted": "green",
    "approval_rejected": "red",
    "approval_timeout": "red",
    "completed": "green",
    "succeeded": "green",
    "blocked": "bold red",
    "run.succeeded": "green",
    "run.failed": "bold red",
    "run.blocked": "bold red",
    "slurm.collect.failed": "red",
    "failed": "red",
    "granted": "green",
    "rejected": "red",
    "timeout": "red",
    "awaiting_approval": "yellow",
    "open": "yellow",
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "error": "bold red",
}
_MOST_DIFFERENCES = 50
_MOST_MISSING = 20


def _styled(word: str, text: str | None = None) -> Text:
    return Text(text if text is not None else word, style=_STYLES.get(word, ""))


def trace_tree(steps: Sequence[TraceStep], approvals: Sequence[Approval]) -> RenderableType:
    """An execution as a tree: its phases, the actions and approvals below them, each with its time.

    Args:
        steps: the trace, in order; not empty.
        approvals: the approvals of the execution.
    """
    first, last = steps[0], steps[-1]
    # A tool run names no skill, and may be all there is.
    named = next((step for step in steps if step.run_id is None), None)
    where = "" if named is None else f"  {named.skill_id} {named.skill_version} on {named.deployment_id}"
    title = Text.assemble(
        ("execution ", "bold"), (first.execution_id, "bold cyan"), f"{where}, for {first.customer_id}"
    )
    tree = Tree(title)
    tree.add(Text(f"{moment(first.timestamp)} UTC, {len(steps)} events in {duration(last.since_start)}", style="dim"))
    answers = {approval.request_event_id: approval for approval in approvals}
    for step in steps:
        line = Text.assemble(
            (f"{'+' + duration(step.since_start):>10}  ", "dim"),
            _styled(step.event_type),
            ("" if step.actor == "system" else f"  by {step.actor}", "italic"),
            (f"  error_code {step.error_code}" if step.error_code else "", "red"),
            (f"  {step.latency_ms} ms" if step.latency_ms is not None else "", "dim"),
            (f"  run {step.run_id}" if step.run_id is not None else "", "magenta"),
            (f"  {step.message}" if step.message else "", "dim"),
        )
        if step.payload:
            line.append(f"  {_short(step.payload, 160)}", style="dim")
        branch = tree.add(line)
        approval = answers.get(step.event_id) if step.event_id is not None else None
        if approval is not None:
            branch.add(_approval_story(approval))
    return AtLeast(tree, UNLIMITED)


def _approval_story(approval: Approval) -> Text:
    if approval.decision == "open":
        return Text("nobody has answered yet", style="yellow")
    story = Text.assemble(
        _styled(approval.decision),
        f" after {duration(approval.delay)} by {approval.decided_by}, recorded by {approval.decision_recorded_by}",
    )
    if approval.reason:
        story.append(f": {approval.reason}", style="italic")
    if approval.actions_withheld:
        story.append(f"; not done: {', '.join(approval.actions_withheld)}", style="red")
    return story


def executions_table(executions: Iterable[Execution]) -> Table:
    """Executions, one a row."""
    names = ("execution", "deployment", "version", "status", "started (UTC)", "duration", "actions", "error")
    table = WholeTable(*names, ids=names[:-1])
    for item in executions:
        table.add_row(
            Text(item.execution_id),
            Text(item.deployment_id),
            Text(item.skill_version),
            _styled(item.status),
            moment(item.started_at),
            duration(item.duration),
            f"{item.actions_dispatched}/{item.actions_prepared}",
            Text(item.error_code or item.error_message or ""),
        )
    return table


def approvals_table(approvals: Iterable[Approval]) -> Table:
    """Approvals, one a row."""
    names = ("approval", "execution", "requested (UTC)", "decision", "by", "after", "reason", "not done")
    table = WholeTable(*names, ids=names[:-2])
    for item in approvals:
        table.add_row(
            Text(item.approval_id or "–"),
            Text(item.execution_id),
            moment(item.requested_at),
            _styled(item.decision),
            Text(item.decided_by or "–"),
            duration(item.delay),
            Text(item.reason or ""),
            Text(", ".join(item.actions_withheld or [])),
        )
    return table


def findings_table(findings: Sequence[Finding]) -> RenderableType:
    """The doctor's findings, the worst last, where the eye is."""
    order = {"ok": 0, "note": 1, "warning": 2, "error": 3}
    table = WholeTable("level", "check", "message", ids=("level", "check"), header=False)
    for finding in sorted(findings, key=lambda finding: order[finding.level]):
        text = Text(finding.message)
        if finding.fix is not None and finding.level in ("warning", "error"):
            text.append(f"\n→ {finding.fix}", style="dim")
        table.add_row(_styled(finding.level), Text(finding.check, style="bold"), text)
    return Group(table)


def log_entry(entry: LogEntry) -> Text:
    """An entry of a log in one line."""
    shown = Text(f"{entry.number:>9,}  {moment(entry.timestamp)}  ")
    shown.append(f"{entry.event_type:22}", style=_STYLES.get(entry.event_type, ""))
    shown.append(f"  {entry.execution_id or entry.deployment_id}  ")
    if entry.payload:
        shown.append(_short(entry.payload), style="dim")
    return shown


def _short(value: object, most: int = 120) -> str:
    """A JSON value, no longer than so many characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else text[: most - 1] + "…"


def runs_table(runs: Iterable[Run]) -> Table:
    """Tool runs, one a row."""
    names = ("run", "tool", "status", "made (UTC)", "duration", "project", "execution", "error")
    table = WholeTable(*names, ids=names[:-1])
    for run in runs:
        table.add_row(
            Text(run.run_id),
            Text(run.tool_name),
            _styled(run.status),
            moment(run.created_at),
            duration(_between(run.started_at, run.finished_at)),
            Text(run.project_id),
            Text(run.execution_id or "–"),
            Text(run.error or ""),
        )
    return table


def _between(start: datetime | None, end: datetime | None) -> timedelta | None:
    return end - start if start is not None and end is not None else None


def run_tree(run: Run, events: Sequence[RunEvent]) -> RenderableType:
    """A tool run as a tree: its state and times, and its events below, each with its time.

    Args:
        run: the run.
        events: its events, in order.
    """
    title = Text.assemble(("run ", "bold"), (run.run_id, "bold cyan"), f"  {run.tool_name}, for {run.customer_id}  ")
    title.append_text(_styled(run.status))
    tree = Tree(title)
    about = Table.grid(padding=(0, 2))
    about.add_column(style="dim")
    about.add_column()
    told = (
        ("made", f"{moment(run.created_at)} UTC"),
        ("started", moment(run.started_at)),
        ("finished", moment(run.finished_at)),
        ("took", duration(_between(run.started_at, run.finished_at))),
        ("project", run.project_id),
        ("requested by", run.requested_by),
        ("execution", run.execution_id),
        ("exit code", run.exit_code),
        ("error", run.error),
        ("result", None if run.result_json is None else _short(run.result_json, 400)),
    )
    for name, value in told:
        if value is not None:
            about.add_row(name, Text(str(value)))
    tree.add(about)
    for event in events:
        line = Text.assemble(
            (f"{event.event_id:>9,}  ", "dim"),
            (f"{'+' + duration(event.ts - events[0].ts):>10}  ", "dim"),
            (event.kind, _STYLES.get(event.kind, "")),
            f"  {event.message}" if event.message else "",
        )
        if event.data:
            line.append(f"  {_short(event.data, 160)}", style="dim")
        tree.add(line)
    return AtLeast(tree, UNLIMITED)


def run_log_entry(entry: RunLogEntry) -> Text:
    """An entry of a log of run events in one line."""
    shown = Text(f"{entry.number:>9,}  {moment(entry.ts)}  ")
    shown.append(f"{entry.kind:22}", style=_STYLES.get(entry.kind, ""))
    shown.append(f"  {entry.run_id}  ")
    if entry.message:
        shown.append(f"{entry.message}  ")
    if entry.data:
        shown.append(_short(entry.data), style="dim")
    return shown


def run_log_differences(found: RunLogSummary) -> RenderableType:
    """What a run's log artifact and its events here do not have in common."""
    if not found.compared:
        return Text("The run had no events here: the log was added.", style="dim")
    lines = Table.grid(padding=(0, 2))
    for missing in found.missing_here[:_MOST_MISSING]:
        lines.add_row(Text("missing here", style="red"), f"line {missing.line_number}", Text(missing.kind))
    for event in found.missing_there[:_MOST_MISSING]:
        lines.add_row(Text("missing in the log", style="yellow"), f"event {event.event_id}", Text(event.kind))
    told = f"{len(found.missing_here):,} missing here, {len(found.missing_there):,} missing in the log"
    if found.inserted:
        told += f", {found.inserted:,} added"
    return Group(lines, Text(told, style="green" if found.is_complete else "bold red"))


def schema_state(state: SchemaState, steps: Sequence[Revision]) -> RenderableType:
    """Which schema a database has, whether that is this package's, and what a migration would do."""
    about = _about()
    about.add_row("database", _where(state))
    about.add_row("PostgreSQL", state.server_version)
    seen = "not to be seen by this login" if state.schema_version is not None else "none"
    about.add_row("it has", _revision(state.revision or seen, state.schema_version))
    about.add_row("this package has", _revision(state.head, HEAD_SCHEMA_VERSION))
    if state.node is not None:
        about.add_row("it is", f"node {state.node} of {state.ledger}")
    if state.is_newest:
        return Group(about, Text("There is nothing to do.", style="green"))
    what = "installs the schema" if state.schema_version is None else "upgrades it, if this package is the newer one"
    # The first line says that in fewer words.
    lines = [Text(line) for line in list(announced(steps, is_new=state.is_absent, attempts=state.attempts))[1:]]
    return Group(about, Text(f'"aximo-db migrate", as the owner, {what}.', style="yellow"), *lines)


def migration(done: Migration) -> Text:
    """What a migration did."""
    after = done.after
    if not done.changed:
        return Text(f"Nothing was to do: {_where(after)} has {_revision(after.revision, after.schema_version)}.")
    if done.before.revision == after.revision and done.before.revision is not None:
        return Text(f"{_where(after)} is node {after.node} of {after.ledger} now.", style="green")
    what = "installed" if done.before.revision is None else f"upgraded from {done.before.revision}"
    if not after.is_newest:
        what += f", up to {after.revision} of {after.head}"
    return Text(
        f"The schema was {what}: {_where(after)} has {_revision(after.revision, after.schema_version)} now."
        f" It took {done.seconds:.1f} s.",
        style="green",
    )


def moved(report: MoveReport) -> Text:
    """What a move did."""
    sizes = f"{report.events:,} events and {report.run_events:,} run events"
    if not report.changed:
        return Text(f"Nothing was to do: {report.customer} is on node {report.is_on}, with {sizes}.")
    pause = "" if report.pause_ms is None else f" Nobody could write for it for {report.pause_ms:,.0f} ms."
    roots = "".join(f"\n  {line}" for text in report.checkpoints for line in [" ".join(text.split())])
    return Text(
        f"{report.customer} is on node {report.is_on} of {report.ledger} now, with {sizes}.{pause}{roots}",
        style="green",
    )


def abandoned(report: MoveReport) -> Text:
    """What giving a move up did."""
    return Text(
        f"{report.customer} stays on node {report.is_on}. What had arrived on node {report.target} is hidden there."
    )


def _where(state: SchemaState) -> str:
    return f"{state.database} on {state.host or 'this machine'} (port {state.port}, login {state.login})"


def _revision(name: str | None, version: int | None) -> str:
    return f"revision {name}" + (f", version {version}" if version is not None else "")


def _about() -> Table:
    """A table of names and what they are."""
    about = Table.grid(padding=(0, 2))
    about.add_column(style="bold")
    about.add_column(overflow="fold")
    return about


def log_verdict(found: LogVerdict, signers: Sequence[str] = ()) -> RenderableType:
    """What a verification found: the log it is about, and what is wrong.

    Args:
        found: the verdict.
        signers: whose signatures of the given checkpoints were checked.
    """
    about = _about()
    about.add_row("log", found.origin or "–")
    about.add_row("entries", f"{found.size:,}")
    about.add_row("root", found.root_text)
    given = found.checkpoints_given
    about.add_row(
        "checkpoints", f"{found.checkpoints - given:,} stored here and {given:,} kept elsewhere were compared"
    )
    if given:
        about.add_row("signed by", ", ".join(signers) or "not checked: no key was given")
    if found.coming:
        about.add_row("not numbered yet", f"{found.coming:,}")
    if found.ok and given:
        return Group(about, Text("It is what it was.", style="green"))
    if found.ok:
        return Group(
            about,
            Text("It agrees with itself.", style="green"),
            Text("Nothing was compared with a checkpoint kept elsewhere: give --checkpoint.", style="yellow"),
        )
    problems = WholeTable("entry", "problem", "event", "detail", ids=("entry", "problem", "event"))
    for problem in found.problems:
        problems.add_row(
            "–" if problem.number is None else f"{problem.number:,}",
            Text(problem.kind.replace("_", " "), style="bold red"),
            "–" if problem.event is None else str(problem.event),
            Text(problem.detail),
        )
    more = found.problem_count - len(found.problems)
    return Group(about, problems, Text(f"and {more:,} more" if more else "", style="red"))


def metrics_verdict(found: MetricsVerdict) -> RenderableType:
    """Where metrics differ from the events, or that they do nowhere."""
    if found.log_size == 0 and found.ok:
        return Text("There are no metrics of this customer yet.", style="yellow")
    if not found.ok and not found.differences:
        return Text(
            f"None of the {found.log_size:,} numbered events is counted: aximo-db refresh, or --recount.",
            style="bold red",
        )
    if not found.differences:
        return Text(f"Every number is what the first {found.counts_up_to:,} events say.", style="green")
    names = ("view", "row", "column", "stored", "from the events")
    table = WholeTable(*names, ids=names)
    for difference in found.differences[:_MOST_DIFFERENCES]:
        table.add_row(
            difference.view_name,
            Text(", ".join(f"{name} {value}" for name, value in difference.key.items())),
            difference.column_name,
            Text(str(difference.stored), style="bold red"),
            Text(str(difference.recomputed)),
        )
    more = len(found.differences) - _MOST_DIFFERENCES
    return Group(table, Text(f"and {more:,} more" if more > 0 else "", style="red"))
