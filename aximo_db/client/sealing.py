"""Sealing what a payload holds, and opening it again: see docs/design/0021-sealed-values.md.

A sealed value is an object in the payload: ``{"$sealed": "v1", "kid": …, "c": …}``. It is AES-256-GCM-SIV of the
value's JSON, and belongs to one customer, event and place. The nonce follows from these, so that an event that is
sealed and sent again is the same event.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from aximo_db.client.errors import MalformedEventError
from aximo_db.client.events import Approval, UnreadableJson, checked_payload, exact_json, readable_json, to_json
from aximo_db.client.sealed import Erased, Sealed, Vault

__all__ = ["READ_KEYS", "Sealer", "holds_sealed", "places_of"]

#: What the rules and the metrics read in a payload: sealed it would mean nothing to them.
READ_KEYS: Final = ("action_id", "action_type", "approval_id", "priority", "emergency")

_MARK: Final = "$sealed"
_VERSION: Final = "v1"
_KEYS: Final = {_MARK, "kid", "c"}
#: What AES-256-GCM-SIV adds to a value.
_TAG_BYTES: Final = 16
_ARRAYS: Final = (list, tuple)
#: ``{"":``: what stands before a value that is written as an object's only one.
_BEFORE: Final = len('{"":')


def associated_data(customer: str, event_id: UUID, pointer: str, kid: UUID) -> bytes:
    """What a sealed value belongs to: it opens nowhere else."""
    return f"aximo-sealed/v1\n{customer}\n{event_id}\n{pointer}\n{kid}".encode()


def _nonce(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:12]


def _below(pointer: str, token: str | int) -> str:
    """The JSON pointer (RFC 6901) of what is in a value under a key or an index."""
    return f"{pointer}/{str(token).replace('~', '~0').replace('/', '~1')}"


def _parts(value: object) -> tuple[UUID, bytes] | None:
    """The key's id and the bytes of a sealed value; ``None`` of anything else, also if it has the mark."""
    if not isinstance(value, Mapping) or value.keys() != _KEYS or value[_MARK] != _VERSION:
        return None
    kid, text = value["kid"], value["c"]
    try:
        found = UUID(kid), base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, AttributeError, TypeError, binascii.Error):
        return None
    return found if str(found[0]) == kid and len(found[1]) >= _TAG_BYTES else None


def _is_sealed(value: object) -> bool:
    return _parts(value) is not None


class Sealer:
    """Seals and opens payloads with the keys of a vault.

    Args:
        vault: where the keys are.
        fields: names of fields that are sealed wherever they stand, each with the field of the same object that names
            the subject.
        exact: whether numbers that are opened keep every digit.

    Raises:
        MalformedEventError: a field is one that the database reads.
    """

    def __init__(self, vault: Vault, fields: Mapping[str, str], *, exact: bool) -> None:
        for name in fields:
            if name in READ_KEYS:
                raise _key_is_read()
        self._vault = vault
        self.fields: Final = dict(fields)
        self._read: Callable[[str | bytes], Any] = exact_json if exact else readable_json

    # Sealing

    def concerns(self, payload: object) -> bool:
        """Whether there is anything in a payload to be sealed. Asks the vault for nothing."""
        pending: list[Any] = [payload]
        parts = 0
        while pending:
            value = pending.pop()
            if isinstance(value, Sealed):
                return True
            if isinstance(value, Mapping):
                if any(name in value for name in self.fields):
                    return True
                pending.extend(value.values())
            elif isinstance(value, _ARRAYS):
                pending.extend(value)
            parts += 1
            if parts > _MOST_PARTS:
                return True  # too large, or it contains itself, which sealing refuses
        return False

    def seal(
        self,
        payload: Mapping[str, Any],
        customer: str | None,
        event_id: UUID,
        written: Callable[[Any], str] | None = None,
    ) -> dict[str, Any]:
        """The payload with what is to be sealed sealed, and everything else as it is. Asks the vault for keys.

        Args:
            payload: the payload.
            customer: whose event it is.
            event_id: the event's.
            written: writes a value as JSON; the same text for the same value.

        Raises:
            MalformedEventError: the payload, a value or a subject is not what it should be, or no customer was named.
            VaultError: a subject was erased, or the vault can't make keys.
        """
        checked_payload(payload)
        if customer is None:
            raise MalformedEventError(
                "a sealed value belongs to a customer, and none was named",
                rule="sealed_customer_present",
                hint="Name the customer in the event or in the store.",
            )
        if "\n" in customer:
            raise MalformedEventError(
                "a customer with a line feed in its name can't have sealed values",
                rule="sealed_customer_present",
                detail="what a sealed value belongs to is written in lines",
                hint="Use a name on one line.",
            )
        try:
            sealed: dict[str, Any] = self._sealed(payload, "", customer, event_id, written or _written)
        except RecursionError as error:
            raise MalformedEventError(
                rule="json_well_formed",
                detail="the payload is nested too deep",
                hint="Nest it less deep, or store text.",
            ) from error
        return sealed

    def _sealed(self, value: Any, pointer: str, customer: str, event_id: UUID, written: Callable[[Any], str]) -> Any:
        if isinstance(value, Sealed):
            return self._object(value, pointer, customer, event_id, written)
        if type(value) is UnreadableJson or _is_sealed(value):
            return value
        if isinstance(value, Mapping):
            return {
                key: self._sealed(self._marked(value, key, item), _below(pointer, key), customer, event_id, written)
                for key, item in value.items()
            }
        if isinstance(value, _ARRAYS):
            return [
                self._sealed(item, _below(pointer, place), customer, event_id, written)
                for place, item in enumerate(value)
            ]
        return value

    def _marked(self, holder: Mapping[str, Any], key: str, item: Any) -> Any:
        """The item, to be sealed if the store says so of its field. What is null, or sealed, stays as it is."""
        if key not in self.fields or item is None or isinstance(item, Sealed) or _is_sealed(item):
            return item
        subject = holder.get(self.fields[key])
        if isinstance(subject, int) and not isinstance(subject, bool):
            subject = str(subject)
        if not isinstance(subject, str):
            raise _subject_missing()
        return Sealed(str(subject), item)

    def _object(
        self, sealed: Sealed, pointer: str, customer: str, event_id: UUID, written: Callable[[Any], str]
    ) -> dict[str, str]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

        if pointer.split("/", 2)[1] in READ_KEYS:
            raise _key_is_read()
        subject = sealed.subject
        if not isinstance(subject, str) or not subject.strip():
            raise _subject_missing()
        try:
            subject.encode()
            text = written(sealed.value).encode()
            kid, key = self._vault.key_for(customer, subject)
            data = associated_data(customer, event_id, pointer, kid)
        except UnicodeEncodeError as error:
            raise MalformedEventError(
                rule="no_lone_surrogate",
                detail="a text holds half a surrogate pair, which no UTF-8 has",
                hint="Decode the text as UTF-8 before it is put into an event; errors='replace' takes any bytes.",
            ) from error
        box = AESGCMSIV(key).encrypt(_nonce(data), text, data)
        return {_MARK: _VERSION, "kid": str(kid), "c": base64.urlsafe_b64encode(box).rstrip(b"=").decode()}

    # Opening

    def open(self, rows: Sequence[Any]) -> None:
        """Opens in place what is sealed in rows with a payload, an event_id and a customer_id. Asks the vault for keys.

        What has no key any more is an :class:`Erased`. What does not open, as it is another event's or was changed,
        stays the object that it is.
        """
        keys: dict[UUID, bytes | Erased] = {}
        for row in rows:
            if row.event_id is None or not row.payload:
                continue
            for holder, place, pointer in _found(row.payload):
                holder[place] = self.opened(holder[place], pointer, row.customer_id, row.event_id, keys)

    def opened(
        self,
        sealed: dict[str, Any],
        pointer: str,
        customer: str,
        event_id: UUID,
        keys: dict[UUID, bytes | Erased] | None = None,
    ) -> Any:
        """What a sealed value holds, or that it was erased; itself, if it does not open there.

        Args:
            sealed: the object.
            pointer: where it stands in the payload, as a JSON pointer.
            customer: whose event it is.
            event_id: the event's.
            keys: the keys that are known; those that are asked for are added.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

        keys = {} if keys is None else keys
        parts = _parts(sealed)
        if parts is None or "\n" in customer:
            return sealed
        kid, box = parts
        if kid not in keys:
            keys[kid] = self._vault.open(kid)
        key = keys[kid]
        if isinstance(key, Erased):
            return key
        data = associated_data(customer, event_id, pointer, kid)
        try:
            return self._read(AESGCMSIV(key).decrypt(_nonce(data), box, data))
        except InvalidTag:
            return sealed

    def with_person(self, approval: Approval) -> Approval:
        """The approval with its person opened, if that was sealed."""
        text = approval.person
        if not isinstance(text, str) or approval.decision_event_id is None or not text.startswith("{"):
            return approval
        try:
            found = readable_json(text)
        except ValueError:
            return approval
        if not isinstance(found, dict) or found.keys() != _KEYS:
            return approval
        opened = self.opened(found, "/person", approval.customer_id, approval.decision_event_id)
        return approval if opened is found else replace(approval, person=opened)


#: More parts than 1 MiB of JSON can have: the smallest is two characters.
_MOST_PARTS: Final = 1_048_576


def holds_sealed(rows: Sequence[Any]) -> bool:
    """Whether there is anything sealed in rows with a payload."""
    return any(row.event_id is not None and row.payload and next(_found(row.payload), None) for row in rows)


def places_of(payload: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where sealed values stand in a payload that was read, as JSON pointers, and the id of each one's key."""
    for holder, place, pointer in _found(payload):
        yield pointer, str(holder[place]["kid"])


def _found(payload: dict[str, Any]) -> Iterator[tuple[Any, Any, str]]:
    """Every sealed value in a payload that was read: what holds it, under which key or index, and its JSON pointer."""
    pending: list[tuple[Any, str]] = [(payload, "")]
    while pending:
        holder, pointer = pending.pop()
        items = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
        for place, item in items:
            if isinstance(item, dict) and item.keys() == _KEYS:
                yield holder, place, _below(pointer, place)
            elif isinstance(item, dict | list):
                pending.append((item, _below(pointer, place)))


def _written(value: Any) -> str:
    """A value as JSON; keys in order, so that the same value is the same text."""
    checked_payload({"": value})
    return to_json(checked_payload({"": _in_order(value)}))[_BEFORE:-1]


def _in_order(value: Any) -> Any:
    if isinstance(value, Sealed):
        raise MalformedEventError(
            "a sealed value holds another one",
            rule="sealed_holds_no_sealed",
            hint="Seal each where it stands, side by side.",
        )
    if isinstance(value, Mapping) and type(value) is not UnreadableJson:
        return {key: _in_order(value[key]) for key in sorted(value)}
    if isinstance(value, _ARRAYS):
        return [_in_order(item) for item in value]
    return value


def _key_is_read() -> MalformedEventError:
    return MalformedEventError(
        "a value that the rules or the metrics read can't be sealed",
        rule="sealed_key_is_read",
        detail=f"the keys are {', '.join(READ_KEYS)}, and what is in them",
        hint="Keep personal data out of these keys: they stay readable for ever.",
    )


def _subject_missing() -> MalformedEventError:
    return MalformedEventError(
        "a value to be sealed has no subject",
        rule="sealed_subject_present",
        detail="the subject is missing, blank, or no text",
        hint="Name the subject in Sealed, or in the field beside the value that the store's seal names.",
    )
