"""More requests than the servers can serve, of several priority levels, with and without flow control."""
