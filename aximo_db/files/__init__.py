"""Files that a person named, and the terminal: read, written and shown with care."""
