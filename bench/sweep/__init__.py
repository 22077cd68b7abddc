"""Many runs in one command: jobs, the processes that do them, what a user sees meanwhile."""
