"""`python -m octavo`."""

import sys

from octavo._boot import main

sys.exit(main())
