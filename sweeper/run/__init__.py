"""`sweeper run …`: the three designs, from the command line's options to committed rows."""
