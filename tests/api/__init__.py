"""The HTTP layer, on a real server and a real socket, in front of a service that only records what it is asked."""
