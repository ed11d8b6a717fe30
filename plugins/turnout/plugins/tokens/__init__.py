"""Turns prompts into the token ids that engines work with."""
