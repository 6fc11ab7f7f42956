"""Descriptions: a frozen multimodal language model says what the signer does in each frame.

Needs torch and transformers for everything but its settings, so nothing is imported here.
"""
