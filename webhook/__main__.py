"""``python -m webhook`` is ``gpu-slice``."""

from webhook.cli.main import run

if __name__ == "__main__":
    run()
