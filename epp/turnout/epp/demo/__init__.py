"""The demonstration: the same chat traffic through Envoy's round robin and through Turnout."""
