"""`python -m sweeper`."""

from sweeper.cli import main

raise SystemExit(main())
