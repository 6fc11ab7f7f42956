"""The documentation site. ``make docs`` builds it strictly: a broken link is an error."""

from importlib import metadata

project = "fla"
author = "the fla maintainers"
release = metadata.version("fla-llm")

extensions = ["myst_parser"]
myst_heading_anchors = 3
# Pages link to files of the repository as they do on a forge. Only links between pages belong to the site.
myst_all_links_external = False
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "fla: sign language translation"
html_show_copyright = False
