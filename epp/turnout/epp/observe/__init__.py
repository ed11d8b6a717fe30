"""What can be seen of the Endpoint Picker from outside: metrics, logs and explained decisions."""
