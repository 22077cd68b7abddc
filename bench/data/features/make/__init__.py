"""``bench data features --from``: features of genes from what public databases ship."""
