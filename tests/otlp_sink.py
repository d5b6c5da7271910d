"""A receiver of OTLP over HTTP on loopback, which keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Key: TypeAlias = tuple[bytes, bytes]


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes as Python has them."""

    def value(found: Any) -> Any:
        kind = found.WhichOneof("value")
        if kind == "array_value":
            return [value(each) for each in found.array_value.values]
        return getattr(found, kind)

    return {each.key: value(each.value) for each in attributes}


class Sink:
    """What came: spans by trace and id, each as it was sent, with its resource and scope.

    Attributes:
        spans: a span, by trace_id and span_id: those who send it again replace it.
        versions: every form that a span was sent in, serialized.
        requests: how many requests came.
        refuse: how many requests to refuse from now on.
        paths: where they were sent to.
    """

    def __init__(self) -> None:
        self.spans: dict[Key, tuple[Any, dict[str, Any], Any]] = {}
        self.versions: dict[Key, set[bytes]] = {}
        self.requests = 0
        self.refuse = 0
        self.paths: set[str] = set()
        self.endpoint = ""

    def take(self, body: bytes) -> None:
        """Keeps what a request has."""
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            resource = plain(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    key = (span.trace_id, span.span_id)
                    self.spans[key] = (span, resource, of_scope)
                    form = span.SerializeToString(deterministic=True) + repr(sorted(resource.items())).encode()
                    self.versions.setdefault(key, set()).add(form)

    def named(self, name: str) -> list[Any]:
        """The spans of a name."""
        return [span for span, _, _ in self.spans.values() if span.name == name]


@contextmanager
def sink() -> Iterator[Sink]:
    """A receiver, while the block runs."""
    kept = Sink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.requests += 1
            kept.paths.add(self.path)
            answer = b"no"
            if kept.refuse:
                kept.refuse -= 1
                self.send_response(400)
            else:
                kept.take(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
