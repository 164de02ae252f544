"""What is varied and what was published, as data: the studies that come with the project, each with its space.

To add one, write its file with a `STUDY` and add its name to `NAMES`.
"""

NAMES = ("paper", "recipe", "readings")
