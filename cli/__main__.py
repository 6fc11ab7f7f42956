"""``python -m fla_llm.cli``: the same as ``fla``."""

from . import main

main()
