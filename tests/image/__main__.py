"""Gets the packages of Debian that the images of the tests are made of, and says what cannot be had.

python -m tests.image
"""

from __future__ import annotations

import sys

from tests.image import debian
from tests.packages import Missing

if __name__ == "__main__":
    try:
        for packages, architecture in ((debian.BUILDER, "amd64"), (debian.BASE, "amd64"), (debian.BASE, "arm64")):
            debian.tree(packages, architecture)
    except Missing as missing:  # the tests say so, too
        print(missing, file=sys.stderr)
