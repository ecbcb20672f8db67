"""Work that does not belong to a request, done by the leader: upkeep and message move tasks."""
