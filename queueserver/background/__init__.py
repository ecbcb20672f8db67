"""Work that no request asks for, done by the leader: upkeep and message move tasks."""
