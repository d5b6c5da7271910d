"""A small witness on loopback, as C2SP tlog-witness says, and an authority of time stamps that asks OpenSSL."""

from __future__ import annotations

import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aximo_db import tlog

Answer = tuple[int, str, bytes]


@contextmanager
def served(answer: Callable[[str, bytes], Answer]) -> Iterator[str]:
    """An HTTP server on loopback; what it answers to a POST is said by a function of the path and the body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, data = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def cosignature_text(text: str, moment: int) -> bytes:
    """What a witness signs with Ed25519, from the definition."""
    return b"cosignature/v1\ntime " + str(moment).encode() + b"\n" + text.encode()


def subtree_text(name: str, text: str, moment: int) -> bytes:
    """What a witness signs with ML-DSA-44, from the definition."""
    origin, size, root = text.split("\n")[:3]
    return b"".join(
        [
            b"subtree/v1\n\x00",
            bytes([len(name.encode())]) + name.encode(),
            moment.to_bytes(8, "big"),
            bytes([len(origin.encode())]) + origin.encode(),
            b"\x00" * 8,
            int(size).to_bytes(8, "big"),
            tlog.read_checkpoint(f"{origin}\n{size}\n{root}\n").root,
        ]
    )


@dataclass
class SmallWitness:
    """Keeps what it saw last of each log, and cosigns what grew from there.

    Attributes:
        name: of its key.
        secret: signs.
        kind: 4, Ed25519, or 6, ML-DSA-44.
        logs: the logs that it knows: their keys, by origin.
        seen: size and root that it cosigned last.
        answers: the status of each answer.
        spoil: changes the line of an answer.
    """

    name: str = "witness.example/w1"
    secret: Any = field(default_factory=Ed25519PrivateKey.generate)
    kind: int = 4
    logs: dict[str, tlog.VerifierKey] = field(default_factory=dict)
    seen: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    spoil: Callable[[str], str] | None = None

    @property
    def key(self) -> tlog.VerifierKey:
        return tlog.VerifierKey(self.name, self.secret.public_key().public_bytes_raw(), self.kind)

    def answer(self, path: str, body: bytes) -> Answer:
        status, kind, data = self._answer(path, body)
        self.answers.append(status)
        return status, kind, data

    def _answer(self, path: str, body: bytes) -> Answer:
        assert path == "/add-checkpoint"
        text = "text/plain"
        try:
            proof = tlog.parse_consistency_proof(body)
            checkpoint = tlog.read_checkpoint(proof.note)
        except ValueError:
            return 400, text, b"malformed\n"
        key = self.logs.get(checkpoint.origin)
        if key is None:
            return 404, text, b"unknown origin\n"
        try:
            tlog.open_checkpoint(proof.note, key)
        except ValueError:
            return 403, text, b"not signed\n"
        size, root = self.seen.get(checkpoint.origin, (0, tlog.EMPTY_ROOT))
        if proof.old_size > checkpoint.size:
            return 400, text, b"old size\n"
        if proof.old_size != size:
            return 409, "text/x.tlog.size", f"{size}\n".encode()
        try:
            tlog.verify_consistency(size, checkpoint.size, root, checkpoint.root, proof.hashes)
        except ValueError:
            return 422, text, b"it did not grow\n"
        self.seen[checkpoint.origin] = checkpoint.size, checkpoint.root
        line = self.line(checkpoint.text())
        return 200, text, (line if self.spoil is None else self.spoil(line)).encode()

    def line(self, text: str, moment: int | None = None) -> str:
        moment = int(time.time()) if moment is None else moment
        signed = cosignature_text(text, moment) if self.kind == 4 else subtree_text(self.name, text, moment)
        signature = moment.to_bytes(8, "big") + self.secret.sign(signed)
        return f"— {self.name} {tlog_base64(self.key.key_id + signature)}\n"


def tlog_base64(data: bytes) -> str:
    return b64encode(data).decode()


CONFIGURATION = """
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[stamps]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = it
[it]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
certs = {folder}/{chain}
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""


class StampAuthority:
    """An authority that answers with ``openssl ts``.

    Args:
        folder: for its keys and certificates; ``ca.pem`` is whom to trust.
        chain: whether its answers have the root's certificate, too.
    """

    def __init__(self, folder: Path, *, chain: bool = False) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        configuration = CONFIGURATION.format(folder=folder, chain="chain.pem" if chain else "none.pem")
        if not chain:
            configuration = configuration.replace(f"certs = {folder}/none.pem\n", "")
        (folder / "tsa.cnf").write_text(configuration)
        (folder / "serial").write_text("01\n")
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "tsa.cnf")
        self.ran(
            "req",
            "-x509",
            *new,
            "-extensions",
            "ca",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=root",
            "-days",
            "30",
        )
        self.ran("req", *new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=stamps.example")
        self.ran(
            "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem",
            "-days", "20", "-extfile", "tsa.cnf", "-extensions", "stamps",
        )  # fmt: skip
        (folder / "chain.pem").write_bytes((folder / "ca.pem").read_bytes())
        self.root = folder / "ca.pem"
        self._one = threading.Lock()

    def ran(self, *command: str) -> None:
        done = subprocess.run(["openssl", *command], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def answer(self, _: str, body: bytes) -> Answer:
        with self._one:
            (self.folder / "query.tsq").write_bytes(body)
            self.ran("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query.tsq", "-out", "reply.tsr")
            return 200, "application/timestamp-reply", (self.folder / "reply.tsr").read_bytes()
