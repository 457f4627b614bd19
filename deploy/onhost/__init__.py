"""Programs that the deploy runs on the host, standard library only: they arrive on standard input and leave no file."""
