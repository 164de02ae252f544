"""What can be done with a study, a network or a machine beside running: status, doctor, profile, export, predict."""
