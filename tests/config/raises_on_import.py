"""A module of a broken distribution."""

raise RuntimeError("raised by the module")
