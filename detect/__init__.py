"""Detector of key points in a separate Python environment, and pose files of a manifest.

Loads no torch. MediaPipe is loaded by the child process alone.
"""
