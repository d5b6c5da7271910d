"""The public surface as data, and what a change of it means for those who use it.

A contract is one reviewed file: what may be read, called and sent, by whom, and what it means. Most of it is read from
the catalog of a database and from the package itself; a part is written by hand and confirmed by looking for it in the
database's own code. Which schemas and roles belong to a contract is said in its file, under ``by_hand.scope``.

:func:`compare` judges. Its rules are listed in ``docs/contract.md``.
"""

from aximo_db.contract.compare import Change, compare, holds
from aximo_db.contract.document import (
    Contract,
    contract_names,
    contract_text,
    load_contract,
    parse_contract,
    shipped_contract,
    write,
)
from aximo_db.contract.read import read_contract

__all__ = [
    "Change",
    "Contract",
    "compare",
    "contract_names",
    "contract_text",
    "holds",
    "load_contract",
    "parse_contract",
    "read_contract",
    "shipped_contract",
    "write",
]
