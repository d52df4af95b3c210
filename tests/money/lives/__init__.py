"""Simulated lives: two users, the pure rules, the sandbox's own partners, and a network that does its worst.

``partners.py`` the three partners in process, behind the service's own adapters · ``network.py`` what becomes of a
message on its way · ``books.py`` orders, owed calls and leases as the service keeps them · ``life.py`` who does what
when, by a seed · ``reconcile.py`` what must hold at every moment and at the end.
"""
