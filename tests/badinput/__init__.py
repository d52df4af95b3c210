"""Thousands of requests with one fault each against the whole running service."""
