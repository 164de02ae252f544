"""What is varied and what was published, as data: arms, recipes, spaces, the paper's tables."""
