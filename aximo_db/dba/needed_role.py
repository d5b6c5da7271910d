"""Which role a login lacks: looked up in the privileges of this version's schema, the list that ``doctor`` compares."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from typing import Final, NamedTuple

from aximo_db.dba.catalog import GROUP_ROLES, OWNING_ROLES, expected_facts

__all__ = ["hint_for", "roles_for", "told"]

_OBJECT: Final = re.compile(
    r"(?:grant on|owner of) (?P<kind>relation|column|function|schema) (?P<schema>\w+)(?:\.(?P<name>\w+))?[^:]*"
    r"(?:\(.*\))?: (?:(?P<privilege>[a-z ]+) to )?(?P<role>\w+)"
)
#: What a command does with each kind of thing.
_USES: Final = frozenset((("relation", "select"), ("column", "select"), ("function", "execute"), ("schema", "usage")))


class _Thing(NamedTuple):
    """A schema, or a relation or function in one."""

    schema: str
    name: str | None


@cache
def _roles() -> dict[_Thing, frozenset[str]]:
    """Everything in the schema, and the group roles that were granted its use; none for what only owners use."""
    found: defaultdict[_Thing, set[str]] = defaultdict(set)
    for fact in expected_facts():
        match = _OBJECT.fullmatch(fact)
        if match is None:
            continue
        roles = found[_Thing(match["schema"], match["name"])]
        is_for_logins = match["role"] in GROUP_ROLES and match["role"] not in OWNING_ROLES
        if is_for_logins and (match["kind"], match["privilege"]) in _USES:
            roles.add(match["role"])
    return {thing: frozenset(roles) for thing, roles in found.items()}


def roles_for(qualified: str) -> list[str]:
    """The roles that may use a thing; the owner's, if no other may.

    Args:
        qualified: schema and name, as ``aximo.advance_log``.

    Raises:
        KeyError: there is no such thing.
    """
    schema, _, name = qualified.partition(".")
    return sorted(_roles()[_Thing(schema, name or None)]) or ["aximo_owner"]


def told(roles: list[str]) -> str:
    """Roles of which one will do, in words."""
    return " or ".join(filter(None, (", ".join(roles[:-1]), roles[-1])))


def hint_for(message: str, need: str | None = None) -> str | None:
    """What to do about a privilege that is missing; ``None`` if the message names nothing of the ledger's.

    The server says in a field of its own that a privilege is missing, and in words only for which thing. The words are
    in the server's language, so the thing is looked for by its name.

    Args:
        message: the server's.
        need: what the command needs, as ``aximo.advance_log``: a login without any of the roles gets no further than
            the schema.
    """
    words = set(re.findall(r"\w+", message))
    things = {thing for thing in _roles() if thing.name in words}
    schemas = {thing.schema for thing in _roles() if thing.schema in words}
    if schemas and not things:
        roles = ["aximo_owner"] if need is None or "aximo_private" in schemas else roles_for(need)
    elif things:
        # Of a view and its table of the same name, the view is what logins read.
        roles = sorted({role for thing in things for role in _roles()[thing]}) or ["aximo_owner"]
    else:
        return None
    if roles == ["aximo_owner"]:
        return "Only the owner may: use the login that installed the ledger."
    return f"The login needs the role {told(roles)}. As the owner: grant {roles[0]} to LOGIN"
