"""Memory, step time, latency and throughput of one serving configuration. Pure numpy."""
