"""Discrete-event simulation of replicas and pools, iteration by iteration; numbers only."""
