"""``python -m vibench`` is the ``vibench`` command."""

from vibench.cli.main import main

if __name__ == "__main__":
    main()
