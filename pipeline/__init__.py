"""Work that joins stages: evaluation, translation of videos, export.

Nothing is imported here: each module needs several rooms, and a command imports only its own module.
"""
