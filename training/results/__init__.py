"""Results that are kept: a page and its record per run, and the summary that holds them against their claims."""
