"""Says which priority a request has: by the objective it names, or by the level it asks for and may use."""
