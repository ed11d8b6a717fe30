"""The Envoy side of Turnout: finding, configuring, starting and feeding a real Envoy."""
