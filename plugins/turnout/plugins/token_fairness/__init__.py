"""Shares the pool among tenants by what their requests cost in tokens, and keeps prompts with one prefix together."""
