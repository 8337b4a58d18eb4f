"""What an agent keeps on disk, as the harness sees it: its commits, what breaks them, and what a death leaves."""
