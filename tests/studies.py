"""The paper's study, as tests ask for it."""

from sweeper.plan import Source
from sweeper.search_spaces.paper import STUDY

PAPER = Source("paper", STUDY)
ARMS = STUDY.by_name
TABLES = {table.name: table for table in STUDY.tables}
REFERENCE = STUDY.reference
