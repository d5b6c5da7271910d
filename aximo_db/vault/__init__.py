"""Where the keys of sealed values are: in another database than the ledger's."""
