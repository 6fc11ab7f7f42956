"""Generated sign language, a small language model for it, and a run of the whole pipeline on both."""
