"""A simulated vLLM replica: an engine model on virtual time, and an HTTP server around it."""
