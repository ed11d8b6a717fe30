"""The node agent: which GPUs a machine has, and how they reach each other."""
