"""What joins the stages: evaluation, translation, the demo with its small language model, and the doctor.

Hands nothing on: each module needs other rooms, and a command imports only the one it runs.
"""
