"""Where endpoints are, and how near to each other."""
