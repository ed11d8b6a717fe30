"""The scenario of topology: prefill and decode apart, on machines whose GPUs do not all reach each other alike."""
