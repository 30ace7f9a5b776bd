"""``python -m ecco_emu``."""

from ecco_emu.cli import main

if __name__ == "__main__":
    main()
