"""What does the jobs of a sweep: processes of this machine, so far."""
