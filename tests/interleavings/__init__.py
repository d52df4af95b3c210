"""Two commands on one order, driven through every interleaving at SQL and HTTP boundaries, on a real PostgreSQL.

Each command runs in a replica of its own, with pool, engine and dispatcher of its own; the sandbox's partners listen
on a real socket. A replica stops at each fault point (``order_service/faults.py``) before the statement or exchange is
made, and a schedule says who may go on: a string of letters, one a step, that brings the run back.

``loop.py`` time that does not pass by itself · ``seat.py`` where a replica stops · ``stage.py`` the replicas and their
surroundings · ``beginnings.py`` orders to start from · ``actors.py`` who does what to them · ``schedule.py`` one run ·
``explore.py`` which schedules there are · ``mishaps.py`` one actor is killed or cut off · ``books.py`` what is written
of an order at rest · ``claims.py`` what must hold of it
"""
