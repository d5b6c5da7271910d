"""What the commands share: options, output for people and for programs, refusals and progress.

Exit codes: 0 done, 1 refused or something found, 2 wrong usage, 130 interrupted.

That the reader of the output goes away, as ``head`` does, is no error: what was found out decides about the exit code.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, NoReturn, TextIO, TypeVar
from uuid import UUID

import psycopg
import typer
import typer.core
from psycopg import Connection
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from aximo_db.client.connect import connect
from aximo_db.client.dsn import libpq_dsn
from aximo_db.client.errors import AximoError, CustomerError, ReadOnlyError
from aximo_db.client.events import Log, UnreadableJson
from aximo_db.client.runs import Runs
from aximo_db.client.statements import SET_CUSTOMER
from aximo_db.client.store import EventStore
from aximo_db.dba import needed_role as needed
from aximo_db.files import terminal
from aximo_db.files.output import Outlet, writing
from aximo_db.files.source import is_gzip
from aximo_db.lines.exporter import number_new_events
from aximo_db.lines.importer import ImportStoppedError, ImportSummary

__all__ = [
    "AsJson",
    "Batch",
    "BatchSize",
    "CursorName",
    "Customer",
    "CustomerOfLines",
    "Db",
    "Follow",
    "KeepExtensions",
    "Lines",
    "LogName",
    "Output",
    "Panel",
    "Program",
    "Rejects",
    "Start",
    "TailFormat",
    "TypePrefix",
    "VaultDb",
    "at_work",
    "cloudevents_options",
    "counting",
    "customers_transaction",
    "dsn_option",
    "ended",
    "err",
    "exporting",
    "fail",
    "import_file",
    "import_line",
    "name_the_customer",
    "needed_role",
    "nobody_reads",
    "out",
    "patient_streams",
    "plain",
    "print_cloudevents",
    "print_json",
    "print_log",
    "print_refused",
    "print_unnumbered",
    "refusals",
    "row_of",
]


def dsn_option(name: str) -> Callable[[str | None], str | None]:
    """Reads the connection string of an option as libpq does, and ends the command if it can't."""

    def read(given: str | None) -> str | None:
        try:
            return libpq_dsn(given) if given is not None else None
        except AximoError as error:
            fail(f"{name}: {error.message}", detail=error.detail, hint=error.hint, code=2)

    return read


Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="DSN",
        callback=dsn_option("--db"),
        help="libpq connection string; else AXIMO_DB_URL, else libpq's own PG* variables.",
    ),
]
Customer = Annotated[str | None, typer.Option("--customer", "-c", help="The customer, if the login has several.")]
VaultDb = Annotated[
    str | None,
    typer.Option("--vault", metavar="DSN", help="The vault's connection string for libpq; else AXIMO_VAULT_URL."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Output for programs.")]
Lines = Annotated[
    str, typer.Argument(help="A file of JSON lines, or - for standard input; of events, also a folder of chunks.")
]
CustomerOfLines = Annotated[str | None, typer.Option("--customer", "-c", help="The customer of lines that name none.")]
Rejects = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        help="Write refused lines there, as JSON lines, and go on; without it the first one stops the import.",
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, max=20000, help="Lines a transaction.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="A file; else standard output.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")]
Start = Annotated[
    int | None, typer.Option("--from", min=1, help="Begin with this number; with the last 20 if left out.")
]
LogName = Annotated[
    Log, typer.Option("--log", help="Which of its logs: of events, or of the events of tool runs.", show_choices=True)
]
CursorName = Annotated[
    str | None, typer.Option("--name", help="Begin where this cursor is, and move it: each entry at least once.")
]

TailFormat = Annotated[
    Literal["text", "cloudevents"], typer.Option("--format", help="For people, or as CloudEvents 1.0, one a line.")
]
Batch = Annotated[bool, typer.Option("--batch", help="With --format cloudevents: one JSON array in place of lines.")]
TypePrefix = Annotated[
    str | None,
    typer.Option(
        "--type-prefix", help='With --format cloudevents: what types begin with, such as com.example.aximo.; "aximo.".'
    ),
]
KeepExtensions = Annotated[
    bool,
    typer.Option(
        "--keep-extensions",
        help="With --format cloudevents: keep extensions that are not known with the payload; else they are refused.",
    ),
]

S = TypeVar("S", bound=ImportSummary)


class Panel:
    """The groups of commands in the help, in order."""

    TRY: Final = "Try"
    WRITE: Final = "Write"
    READ: Final = "Read"
    PROVE: Final = "Prove"
    OPERATE: Final = "Operate"
    ORDER: Final = (TRY, WRITE, READ, PROVE, OPERATE)


#: What the command that runs needs: the last one, if a program runs several.
_need: str | None = None


class _Help:
    """Help that shows no value for an option that takes none, whatever version the library is of."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in params:
            if getattr(each, "is_flag", False):
                each.metavar = ""
        return params


class _Command(_Help, typer.core.TyperCommand):
    """A command.

    Attributes:
        need: the function or view that a login has to be able to use, as ``aximo.advance_log``.
    """

    need: str | None = None

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        global _need
        _need = self.need
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        if self.need is not None and self.epilog is None:
            self.epilog = f"The login needs the role {needed.told(needed.roles_for(self.need))}."
        super().format_help(ctx, formatter)


class _Group(_Help, typer.core.TyperGroup):
    """Commands, in the order of their panels."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _place(getattr(self.commands[name], "rich_help_panel", None)))


def _place(panel: object) -> int:
    return Panel.ORDER.index(panel) if panel in Panel.ORDER else -1


class Program(typer.Typer):
    """Commands with one kind of help.

    Args:
        arguments: as Typer's.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(
            cls=_Group,
            no_args_is_help=True,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **arguments,
        )

    def does(
        self, panel: str | None = None, *, name: str | None = None, needs: str | None = None
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator that makes a function a command.

        Args:
            panel: the group that the help shows it in.
            name: its name; the function's if left out.
            needs: the function or view that a login has to be able to use, as ``aximo.advance_log``.
        """
        command = type("_Command", (_Command,), {"need": needs})
        return self.command(name, cls=command, rich_help_panel=panel)


def needed_role(error: psycopg.Error) -> str | None:
    """What to do about a privilege that is missing; ``None`` if that is not what is wrong, or not the ledger's."""
    if not isinstance(error, psycopg.errors.InsufficientPrivilege):
        return None
    return needed.hint_for(error.diag.message_primary or str(error), _need)


def name_the_customer(named: str | None) -> str | None:
    """The hint to name a customer, unless one was named."""
    return "Name the customer with --customer." if named is None else None


def out() -> Console:
    """The console for results."""
    # Into a file or a pipe, tables are as wide as they need.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else terminal.UNLIMITED
    return terminal.SafeConsole(highlight=False, soft_wrap=True, width=width)


def err() -> Console:
    """The console for what is said about the results."""
    return terminal.SafeConsole(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Prints one line of JSON: moments as ISO 8601, durations in seconds, numbers that no float holds as text."""
    typer.echo(_json(value))


def _json(value: Any, levels: int = 3) -> str:
    """As json.dumps writes it, but a payload that Python could not read is written as it is stored."""
    if isinstance(value, UnreadableJson):
        return value.text
    if levels and isinstance(value, list):
        return f"[{', '.join(_json(item, levels - 1) for item in value)}]"
    if levels and isinstance(value, dict):
        pairs = (f"{json.dumps(key, ensure_ascii=False)}: {_json(item, levels - 1)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, default=_jsonable, ensure_ascii=False)


def row_of(row: Any) -> dict[str, Any]:
    """The fields of a dataclass, as they are."""
    return {item.name: getattr(row, item.name) for item in fields(row)}


def _jsonable(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    raise TypeError(f"no JSON form for {type(value).__name__}")


def fail(message: str, *, detail: str | None = None, hint: str | None = None, code: int = 1) -> NoReturn:
    """Says what is wrong, and ends the command."""
    console = err()
    console.print(f"[bold red]error:[/] {plain(message)}")
    if detail:
        console.print("\n".join(f"  {plain(line)}" for line in detail.strip().splitlines()))
    if hint:
        console.print(f"  [dim]→ {plain(hint)}[/]")
    raise typer.Exit(code)


def plain(text: str) -> str:
    """Text that is no markup, whatever is in it."""
    return escape(text)


#: The hint of the package and of the database is for programs.
_GIVE_CUSTOMER: Final = (
    "Give --customer one that the login was granted: select * from aximo.my_customers() lists them."
    " The owner grants another with aximo.grant_customer."
)


@contextlib.contextmanager
def refusals(code: int = 1) -> Iterator[None]:
    """Shows the ledger's and the driver's errors as a person wants them, and ends the command with an exit code."""
    try:
        yield
    except AximoError as error:
        rule = f" {error.rule}" if error.rule else ""
        hint = _GIVE_CUSTOMER if error.rule == "customer_granted" else error.hint
        fail(f"{error.message} ({error.sqlstate}{rule})", detail=error.detail, hint=hint, code=code)
    except OSError as error:
        told(error)
        raise typer.Exit(code) from error
    except psycopg.Error as error:
        state = f" ({error.sqlstate})" if error.sqlstate else ""
        fail(
            f"{error.diag.message_primary or str(error).strip()}{state}",
            detail=error.diag.message_detail,
            hint=needed_role(error) or error.diag.message_hint,
            code=code,
        )


def print_log(
    db: str | None,
    customer: str | None,
    *,
    log: Callable[[EventStore], EventStore | Runs],
    shown: Callable[[Any], Text],
    start: int | None,
    name: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Prints the entries of a log: its end, or from a number or a cursor on.

    Args:
        db, customer, start, name, follow, as_json: the options.
        log: who reads it.
        shown: an entry, for people.
    """
    with _following(db, customer, start, name) as (store, may_advance):
        reader = log(store)
        after = _first(reader, start, name)
        console = out()
        for entry in reader.subscribe(name, after=after, advance=may_advance, follow=follow):
            if as_json:
                print_json(row_of(entry))
            else:
                console.print(shown(entry))
                sys.stdout.flush()
            if nobody_reads():
                break


def cloudevents_options(is_wanted: bool, type_prefix: str | None, **options: bool) -> dict[str, Any]:
    """The options of CloudEvents, as functions take them; ends the command if there are some and none are wanted."""
    given = {
        name: value for name, value in {**options, "type_prefix": type_prefix}.items() if value not in (None, False)
    }
    if given and not is_wanted:
        named = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        fail("that is an option of CloudEvents", hint=f"{named} is for --format cloudevents.", code=2)
    return given


def print_cloudevents(
    db: str | None,
    customer: str | None,
    *,
    log: Log,
    start: int | None,
    name: str | None,
    follow: bool,
    as_json: bool,
    batch: bool,
    type_prefix: str | None,
) -> None:
    """Prints the entries of a log as CloudEvents: its end, or from a number or a cursor on.

    Args:
        db, customer, start, name, follow, as_json, batch, type_prefix: the options.
        log: which log.
    """
    from aximo_db.lines.cloudevents import tail_cloudevents

    if as_json:
        fail("CloudEvents are JSON", hint="Leave out --json.", code=2)
    if batch and follow:
        fail("an array that never ends can't be read", hint="Leave out --batch or --follow.", code=2)
    options = cloudevents_options(True, type_prefix)
    with _following(db, customer, start, name) as (store, may_advance):
        reader = store if log == "events" else store.runs
        after = _first(reader, start, name)
        events = tail_cloudevents(store, name, log=log, after=after, advance=may_advance, follow=follow, **options)
        with exporting(None) as (target, _):
            before = "[\n" if batch else ""
            for event in events:
                target.write(f"{before}{event}" if batch else f"{event}\n")
                before = ",\n"
                if follow:
                    target.flush()
            if batch:
                target.write("[]\n" if before == "[\n" else "\n]\n")


@contextlib.contextmanager
def _following(
    db: str | None, customer: str | None, start: int | None, name: str | None
) -> Iterator[tuple[EventStore, bool]]:
    """A store whose log is read, and whether the login numbers what is new; that is done first."""
    if name is not None and start is not None:
        fail("a cursor knows where it is", hint="Give --name or --from.", code=2)
    with refusals(), EventStore(db, customer_id=customer) as store:
        try:
            store.advance_all()
            may_advance = True
        except (psycopg.errors.InsufficientPrivilege, CustomerError, ReadOnlyError):
            may_advance = False  # what has its number can be read all the same
        yield store, may_advance


def _first(reader: EventStore | Runs, start: int | None, name: str | None) -> int:
    """The number after which it is read, if there is no cursor."""
    if name is not None:
        return 0
    return start - 1 if start is not None else max(reader.log_size() - 20, 0)


def import_file(
    take: Callable[..., S],
    file: str,
    db: str | None,
    rejects: Path | None,
    *,
    as_json: bool,
    before: str = "What came before is imported.",
    opened: BinaryIO | None = None,
    sealing: Callable[[contextlib.ExitStack], dict[str, Any]] | None = None,
) -> S:
    """Imports a file, and ends the command if a refused line stops it.

    Args:
        take: imports from a store and a binary file; is given ``on_error``, ``rejects`` and ``progress``.
        file, db, rejects, as_json: the options.
        before: what has become of the lines before the one that stops the import.
        opened: what is read in place of the file.
        sealing: what the store seals with, as its options.
    """
    with refusals(), contextlib.ExitStack() as stack:
        source, size = _open_source(file, stack) if opened is None else (stack.enter_context(opened), None)
        rejected: TextIO | None = None
        if rejects is not None:
            rejected = stack.enter_context(writing(rejects, inputs=[source], drops_when_unread=True))
        store = stack.enter_context(EventStore(db, **(sealing(stack) if sealing is not None else {})))
        progress = stack.enter_context(_reading(size, hidden=as_json))
        on_error = "reject" if rejects is not None else "stop"
        try:
            return take(store, source, on_error=on_error, rejects=rejected, progress=progress)
        except ImportStoppedError as stopped:
            stack.close()
            if as_json:
                print_json(stopped.summary.as_json())
            fail(str(stopped), hint=f"{before} Correct the line and run again, or use --rejects FILE.")


def print_refused(summary: ImportSummary, rejects: Path | None) -> None:
    """Says how many lines were refused, and where they are."""
    if summary.refused:
        err().print(f"[yellow]{summary.refused} lines were refused; they are in {plain(str(rejects))}[/]")


def import_line(summary: ImportSummary, what: str = "events") -> str:
    """The counts of an import, for people."""
    return (
        f"[bold]{summary.read:,}[/] {what} read, [bold]{summary.inserted:,}[/] inserted, "
        f"{summary.duplicates:,} duplicates, {summary.refused:,} refused"
    )


def print_unnumbered(console: Console, unnumbered: int) -> None:
    """Says how many events an export has not, as they have no number yet."""
    if unnumbered:
        console.print(
            f"[yellow]{unnumbered:,} events have no number yet and are not in it.[/]"
            ' [dim]→ "aximo-db advance", as an operator, numbers them.[/]'
        )


def _open_source(file: str, stack: contextlib.ExitStack) -> tuple[BinaryIO, int | None]:
    """A file, or standard input for a dash, and its size in bytes, if there is one."""
    if file == "-":
        return sys.stdin.buffer, None
    path = Path(file)
    try:
        source = stack.enter_context(path.open("rb"))
        found = path.stat()
        # How many bytes there are is not known of a pipe, nor of what has to be unpacked.
        is_known = stat.S_ISREG(found.st_mode) and not is_gzip(source.peek(2))
    except OSError as error:
        fail(f"{file}: {error.strerror}", code=2)
    return source, found.st_size if is_known else None


@contextlib.contextmanager
def exporting(
    output: Path | None, what: str = "events", *, inputs: Sequence[Path | None] = ()
) -> Iterator[tuple[TextIO, Callable[[int], None]]]:
    """A file, or standard output, for lines kept to the byte, and what is told how many there are so far.

    If nobody reads them any more, the command ends.

    Args:
        output: the file, written as :func:`aximo_db.files.output.writing` does; ``None`` for standard output.
        what: what is counted.
        inputs: files that the command reads.
    """
    try:
        if output is None:
            with _told_when_unread():
                yield sys.stdout, lambda _: None
                sys.stdout.flush()
            return
        console = err()
        with contextlib.ExitStack() as stack:
            target = stack.enter_context(writing(output, inputs=[each for each in inputs if each is not None]))
            status = stack.enter_context(console.status("exporting")) if console.is_terminal else None

            def progress(written: int) -> None:
                if status is not None:
                    status.update(f"exporting: {written:,} {what}")

            yield target, progress
    except BrokenPipeError as error:
        raise typer.Exit from error


@contextlib.contextmanager
def _told_when_unread() -> Iterator[None]:
    """Makes it an error for a while that nobody reads standard output, so that nobody goes on writing."""
    outlet = _outlet(sys.stdout)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    if outlet is None:
        yield
        return
    outlet.drops_when_unread = False
    try:
        yield
    finally:
        outlet.drops_when_unread = True


def patient_streams() -> None:
    """Makes standard output and standard error drop what nobody reads, so that a command ends as it would have."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.flush()
            descriptor = stream.fileno()
        except (AttributeError, OSError, ValueError):  # closed, or no file
            continue
        named = "standard output" if name == "stdout" else "standard error"
        patient = io.TextIOWrapper(
            io.BufferedWriter(Outlet(descriptor, named, drops_when_unread=True, closes=False)),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, patient)


def _outlet(stream: TextIO) -> Outlet | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, Outlet) else None


def nobody_reads() -> bool:
    """Whether the reader of standard output has gone."""
    outlet = _outlet(sys.stdout)
    return outlet is not None and outlet.is_over


def ended(code: int) -> int:
    """Writes what is left of the output, and says what the exit code is then."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        told(error)
        return code or 1
    return code


def told(error: OSError) -> None:
    """Says what went wrong with a file."""
    where = error.filename or "input or output"
    err().print(f"[bold red]error:[/] {plain(f'{where}: {error.strerror or error}')}")


@contextlib.contextmanager
def customers_transaction(db: str | None, customer: str | None, *, numbers: bool = False) -> Iterator[Connection[Any]]:
    """A connection in a transaction for a customer.

    Args:
        db, customer: the options.
        numbers: whether what is new is numbered before, if the login may; else that is left to others.
    """
    with connect(db) as connection:
        if numbers:
            number_new_events(connection)
        with connection.transaction():
            if customer is not None:
                connection.execute(SET_CUSTOMER, (customer,))
            yield connection


@contextlib.contextmanager
def counting(what: str, *, hidden: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar for entries; gives what is told how many are done, and of how many, if that is known."""
    console = err()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} entries"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def at_work(what: str, *, hidden: bool) -> contextlib.AbstractContextManager[object]:
    """Says that something is being done, where it can't be told how far it is."""
    console = err()
    return console.status(what) if console.is_terminal and not hidden else contextlib.nullcontext()


@contextlib.contextmanager
def _reading(size: int | None, *, hidden: bool) -> Iterator[Callable[[int, ImportSummary], None]]:
    """A bar for a file that is read, of so many bytes, if that is known."""
    console = err()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[events]:,} events"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task("importing", total=size, events=0)

        def show(position: int, summary: ImportSummary) -> None:
            bar.update(task, completed=position, events=summary.read)

        yield show
