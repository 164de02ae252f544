"""Searching hyperparameters: what each search is, and Optuna, which says what to try next."""
