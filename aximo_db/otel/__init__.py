"""OpenTelemetry: a store's calls as spans, by :func:`instrument`; executions as spans, by ``aximo-db otel``.

Nothing else of the package imports this. It needs ``opentelemetry-api``: the extra ``otel``. What sends is in
:mod:`aximo_db.otel.sending`, and needs the extra ``otel-export``.
"""

from __future__ import annotations

try:
    import opentelemetry.trace  # noqa: F401
except ImportError as error:
    from aximo_db.client.errors import InstallationError

    raise InstallationError(
        "spans need OpenTelemetry",
        rule="opentelemetry_present",
        hint="Install it: pip install 'aximo-db[otel]' for a service, 'aximo-db[otel-export]' to send executions.",
    ) from error

from aximo_db.otel.watching import instrument, traced

__all__ = ["instrument", "traced"]
