"""Build artifacts: one file a target, a registry of targets, and the one path that builds, proves and puts in place."""
