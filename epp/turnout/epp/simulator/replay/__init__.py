"""Replays a recorded trace on virtual time: the server's own routing in front of simulated engines."""
