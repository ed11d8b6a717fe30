"""The demonstration: the same chat traffic through Envoy's round robin, its least request, and Turnout."""
