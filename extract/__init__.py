"""Extraction: the frozen encoder runs once over every video and leaves a feature cache.

Needs torch for everything but its settings, so nothing is imported here: import the module you need.
"""
