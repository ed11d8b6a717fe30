"""Values that another program keeps up to date, in a file or behind a URL. Shared by features."""
