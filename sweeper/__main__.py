"""`python -m sweeper`."""

from sweeper.cli.main import main

raise SystemExit(main())
