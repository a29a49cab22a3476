"""`python -m ringlite`, the same as `ringlite`."""

from ringlite_cli.__main__ import main

if __name__ == "__main__":
    main()
