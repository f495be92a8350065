"""``python -m clipsonic_cli`` is ``clipsonic``."""

from clipsonic_cli.cli import main

if __name__ == "__main__":
    main()
