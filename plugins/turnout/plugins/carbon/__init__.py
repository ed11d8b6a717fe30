"""Carbon intensity: where electricity is clean, what a request emits, and requests that wait for a clean hour."""
