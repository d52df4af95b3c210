"""The description against the running service, the published file, and what clients were promised."""
