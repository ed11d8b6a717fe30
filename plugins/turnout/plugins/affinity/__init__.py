"""Sends requests to, or keeps them away from, endpoints with labels that name a thing: a shard, a job, a data set."""
