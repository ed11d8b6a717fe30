"""Where a request's model or LoRA adapter is loaded, and how long it would take to load it elsewhere."""
