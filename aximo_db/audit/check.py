"""Checking an export, a checkpoint and a proof with no database at all: ``python -m aximo_db.audit``.

Needs this folder, :mod:`aximo_db.files.source`, and for signatures the package ``cryptography``; nothing of PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

from aximo_db.audit.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from aximo_db.audit.chunks import check_chunks
from aximo_db.audit.export import compare_exports, verify_export
from aximo_db.audit.note import MalformedNote, VerifierKey, read_verifier_key, signers
from aximo_db.audit.proof import parse_consistency_proof, parse_inclusion_proof
from aximo_db.audit.published import check_published
from aximo_db.audit.stamp import read_roots, verify_stamp
from aximo_db.audit.verdict import Verdict
from aximo_db.files.source import UnreadableFileError, json_lines, looks_like

__all__ = [
    "Verdict",
    "check_chunks",
    "check_export",
    "check_proof",
    "check_published",
    "check_stamp",
    "compare",
    "main",
    "read_note",
]


def read_note(data: bytes, keys: Sequence[VerifierKey], origin: str | None = None) -> Checkpoint:
    """The checkpoint in a note, whose signature is checked if there are keys.

    Raises:
        MalformedNote: it is no checkpoint.
        SignatureFailed: it is not signed by any of the keys, or wrongly.
    """
    checkpoint = open_checkpoint(data, *keys) if keys else read_checkpoint(data)
    if origin is not None and checkpoint.origin != origin:
        raise MalformedNote(f"the checkpoint is of {checkpoint.origin}, not of {origin}")
    return checkpoint


def check_export(
    export: Path,
    checkpoints: Sequence[Path],
    keys: Sequence[Path] = (),
    *,
    progress: Callable[[int], None] | None = None,
) -> Verdict:
    """Whether the lines of an export are what the checkpoints speak of.

    Args:
        export: a file of JSON lines, as ``aximo-db export`` writes it; compressed with gzip or not.
        checkpoints: files with a checkpoint each, signed or not.
        keys: files with a verifier key each; if there is one, every checkpoint has to be signed by one of them.
        progress: called with the number of lines read so far.
    """
    verdict = Verdict()
    try:
        verifiers = [read_verifier_key(path) for path in keys]
        notes = [path.read_bytes() for path in checkpoints]
        found = [read_note(note, verifiers) for note in notes]
        names = [signers(note, *verifiers) for note in notes]
    except ValueError as error:
        verdict.fail(f"checkpoint: {error}")
        return verdict
    if len({checkpoint.origin for checkpoint in found}) > 1:
        verdict.fail("the checkpoints are of different logs")
        return verdict
    try:
        with export.open("rb") as file:
            lines = json_lines(file)
            told = verify_export(lines, sorted(found, key=lambda each: each.size), progress=progress)
    except UnreadableFileError as error:
        verdict.fail(f"{export}: {error}")
        return verdict
    verdict.ok = told.ok
    verdict.findings += told.message.splitlines()
    if not told.ok and (looks := _looks_like(export)) is not None:
        verdict.findings.append(f"{export}: {looks}")
    verdict.facts = {
        "entries": told.entries,
        "root": told.root.hex(),
        "root_base64": b64encode(told.root).decode(),
        "checkpoints": [
            {"origin": each.checkpoint.origin, "size": each.checkpoint.size, "outcome": each.outcome}
            for each in told.results
        ],
        "line_problems": [problem.message for problem in told.problems],
        "doubtful_entries": list(told.doubtful) if told.doubtful else None,
    }
    verdict.findings.append(f"The root of all {told.entries:,} entries is {verdict.facts['root_base64']}.")
    _say_who_signed(verdict, keys, names)
    return verdict


def _say_who_signed(verdict: Verdict, keys: Sequence[Path], notes: Sequence[Sequence[str]]) -> None:
    """Adds who signed the checkpoints, by the keys that were given."""
    by = sorted({name for names in notes for name in names})
    verdict.facts |= {"signed": bool(keys), "signed_by": by}
    if keys:
        verdict.findings.append(f"The checkpoint is signed by {', '.join(by)}.")
    elif verdict.ok:
        verdict.findings.append("No key was given, so who made the checkpoint was not checked.")


def _looks_like(export: Path) -> str | None:
    with export.open("rb") as file:
        lines = json_lines(file)
        while (line := lines.readline(1 << 16)) and not line.strip():
            pass
        return looks_like(line)


def compare(old: Path, new: Path) -> Verdict:
    """Whether the new export is the old one and perhaps more; names the first entry that is not."""
    verdict = Verdict()
    with old.open("rb") as before, new.open("rb") as after:
        export = old
        try:
            lines = json_lines(before)
            export = new
            difference = compare_exports(lines, json_lines(after))
        except UnreadableFileError as error:
            verdict.fail(f"{export}: {error}")
            return verdict
    if difference is None:
        verdict.findings.append("The exports are the same.")
        return verdict
    verdict.facts = {"entry": difference.entry, "kind": difference.kind, "at_end": difference.at_end}
    if difference.kind == "added" and difference.at_end:
        verdict.findings.append(f"The new export is the old one, and more from entry {difference.entry} on.")
    else:
        verdict.fail(f"Entry {difference.entry}: {difference.kind}.")
    return verdict


def check_proof(
    proof: Path, *, line: Path | None = None, old: Path | None = None, keys: Sequence[Path] = ()
) -> Verdict:
    """Whether a proof holds: of inclusion, with the event's line; of consistency, with the older checkpoint."""
    verdict = Verdict()
    try:
        verifiers = [read_verifier_key(path) for path in keys]
        data = proof.read_bytes()
        if data.startswith(b"old "):
            if old is None:
                raise ValueError("a proof of consistency needs the older checkpoint as well")
            consistency = parse_consistency_proof(data)
            new = read_note(consistency.note.encode(), verifiers)
            before = read_note(old.read_bytes(), verifiers, new.origin)
            consistency.verify(before, new)
            names = [signers(note, *verifiers) for note in (consistency.note, old.read_bytes())]
            verdict.findings.append(f"The log of {new.size} entries is that of {before.size} entries, and more.")
            verdict.facts = {"origin": new.origin, "old_size": before.size, "size": new.size}
        else:
            if line is None:
                raise ValueError("a proof of inclusion needs the event's line as well")
            inclusion = parse_inclusion_proof(data)
            checkpoint = read_note(inclusion.note.encode(), verifiers)
            inclusion.verify(line.read_bytes().removesuffix(b"\n"), checkpoint)
            names = [signers(inclusion.note, *verifiers)]
            verdict.findings.append(f"The event is entry {inclusion.entry} of {checkpoint.size}.")
            verdict.facts = {"origin": checkpoint.origin, "entry": inclusion.entry, "size": checkpoint.size}
    except ValueError as error:
        verdict.fail(str(error))
        return verdict
    _say_who_signed(verdict, keys, names)
    return verdict


def check_stamp(checkpoint: Path, stamp: Path, tsa_roots: Sequence[Path], keys: Sequence[Path] = ()) -> Verdict:
    """Whether a checkpoint was there at the moment that a time stamp says.

    Args:
        checkpoint: the file that was stamped, to the byte.
        stamp: the answer of the authority, a ``.tsr`` file.
        tsa_roots: files with certificates in PEM: whom to trust.
        keys: files with a verifier key each; if there is one, the checkpoint has to be signed by one of them.
    """
    verdict = Verdict()
    try:
        note = checkpoint.read_bytes()
        verifiers = [read_verifier_key(path) for path in keys]
        found = read_note(note, verifiers)
        moment = verify_stamp(stamp.read_bytes(), note, read_roots(tsa_roots))
    except ValueError as error:
        verdict.fail(str(error))
        return verdict
    verdict.findings.append(f"The checkpoint of {found.size} entries was there at {moment:%Y-%m-%d %H:%M:%S} UTC.")
    verdict.facts = {"origin": found.origin, "size": found.size, "stamped_at": moment.isoformat()}
    _say_who_signed(verdict, keys, [signers(note, *verifiers)])
    return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0 if everything holds, 1 if something does not."""
    parser = argparse.ArgumentParser(prog="python -m aximo_db.audit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--export", type=Path, help="an export: JSON lines, line n is entry n; or a folder")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], help="a checkpoint; may come often")
    parser.add_argument("--key", type=Path, action="append", default=[], help="a verifier key; may come often")
    parser.add_argument("--against", type=Path, help="an older export of the same log")
    parser.add_argument("--proof", type=Path, help="a proof, of inclusion or of consistency")
    parser.add_argument("--line", type=Path, help="with a proof of inclusion: the event's line")
    parser.add_argument("--published", metavar="DIR|URL", help="a published log, or a folder with several")
    parser.add_argument("--timestamp", type=Path, help="with one checkpoint: its time stamp, a .tsr file")
    parser.add_argument("--tsa-root", type=Path, action="append", default=[], help="whose time stamps to trust: PEM")
    parser.add_argument("--json", action="store_true", help="output for programs")
    given = parser.parse_args(arguments)
    try:
        if given.proof:
            old = given.checkpoint[0] if given.checkpoint else None
            verdict = check_proof(given.proof, line=given.line, old=old, keys=given.key)
        elif given.published:
            verdict = check_published(given.published, given.key, given.tsa_root)
        elif given.timestamp and len(given.checkpoint) == 1 and given.tsa_root:
            verdict = check_stamp(given.checkpoint[0], given.timestamp, given.tsa_root, given.key)
        elif given.export and given.export.is_dir():
            verdict = check_chunks(given.export, given.checkpoint, given.key)
        elif given.export and given.against:
            verdict = compare(given.against, given.export)
        elif given.export and given.checkpoint:
            verdict = check_export(given.export, given.checkpoint, given.key)
        else:
            parser.error(
                "give --export and --checkpoint, or --export and --against, or --proof, or --published,"
                " or --checkpoint, --timestamp and --tsa-root"
            )
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror or error}")
    try:
        if given.json:
            print(json.dumps(verdict.as_json()))
        else:
            print("\n".join(["holds" if verdict.ok else "DOES NOT HOLD", *(f"  {each}" for each in verdict.findings)]))
        sys.stdout.flush()
    except BrokenPipeError:
        # That nobody reads it is no error, and changes nothing about the verdict.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0 if verdict.ok else 1
