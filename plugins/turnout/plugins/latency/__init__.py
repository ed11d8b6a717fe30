"""Expected latencies of requests that have not been sent yet."""
