"""The command line: each verb parses its flags, calls the harness and prints the answer."""
