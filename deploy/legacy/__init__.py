"""The cure of what was on a host before: its workers are found, proven, held, retired. Can be deleted whole one day.

All but `words.py` run on the host, as `deploy.onhost` does, and believe nothing that a process or a user's file says.
"""
