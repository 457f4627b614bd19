"""activate: retire the old, drain, gate, put back; worker by worker, host by host."""
