"""Deliberate faults, planted one at a time into a copy of the project: the tests must catch every one of them."""
