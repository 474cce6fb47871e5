"""`python -m pipeline` is `conference-pipeline`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
