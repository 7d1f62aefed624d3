"""Traffic as numbers: token lengths, hourly profiles, load blocks, growth. Pure numpy."""
