"""From a log file to counts per minute. The README has the steps."""
