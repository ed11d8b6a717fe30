"""Envoy's external processing protocol: one gRPC stream for each HTTP request."""
