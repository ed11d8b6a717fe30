"""Pages for operators, over HTTP."""
