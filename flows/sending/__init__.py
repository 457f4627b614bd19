"""One mail: read, rendered, frozen, sent, recorded."""
