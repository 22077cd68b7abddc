"""Reading h5ad files that nobody vouches for."""
