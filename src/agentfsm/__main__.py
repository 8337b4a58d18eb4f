"""`python -m agentfsm`: the command."""

from agentfsm.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
