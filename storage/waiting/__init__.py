"""Waiting receivers: short and long polls, and the notifications that wake receivers up."""
