"""`python -m conformance` is refimpl-conformance."""

from conformance.command import main

if __name__ == "__main__":
    main()
