"""Whether what is published is what was computed: every file, record, number, board and claim is looked at again."""
