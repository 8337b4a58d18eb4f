"""The command `agentfsm`. One file a subcommand; `main` is the entry, `output` the only way to the terminal."""
