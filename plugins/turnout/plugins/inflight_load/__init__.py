"""Counts the work that was dispatched to each endpoint and has not ended; fresher than any scrape."""
