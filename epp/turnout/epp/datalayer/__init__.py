"""What the Endpoint Picker knows of its endpoints, and how it comes to know it."""
