"""The scenario of promises: TTFT targets at nine tenths of the capacity, on servers of two speeds and prices."""
