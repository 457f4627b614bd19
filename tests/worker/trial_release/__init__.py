"""Flows that stand for those of a release, which a fork server may have imported."""
