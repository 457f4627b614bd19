"""The command line: `./hublab`. It says what there is, checks what is typed, and starts the programs that do it."""
