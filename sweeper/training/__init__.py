"""One trial, from spec to result: a pure function that knows nothing of Ray."""
