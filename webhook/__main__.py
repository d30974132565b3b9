"""``python -m webhook`` is ``gpu-slice``."""

from webhook.cli.main import main

if __name__ == "__main__":
    main(prog_name="gpu-slice")
