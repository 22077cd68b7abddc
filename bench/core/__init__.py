"""What every room uses: names of conditions, errors, files, the console."""
