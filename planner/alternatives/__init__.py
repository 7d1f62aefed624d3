"""The same demand served in other ways: what a plan is compared with."""
