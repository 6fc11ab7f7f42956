"""Detector of key points in a separate Python environment, and pose files of a manifest.

Loads no torch. The packages of a detector are loaded by the child process alone.
"""
