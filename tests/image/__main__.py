"""Gets what the tests of the images need, and says what cannot be had: buildah, and Debian's packages.

python -m tests.image
"""

from __future__ import annotations

import sys

from tests.image import debian
from tests.image.buildah import buildah

if __name__ == "__main__":
    try:
        buildah()
        for packages, architecture in ((debian.BUILDER, "amd64"), (debian.BASE, "amd64"), (debian.BASE, "arm64")):
            debian.tree(packages, architecture)
    except debian.Missing as missing:  # the tests say so, too
        print(missing, file=sys.stderr)
