"""`python -m evq.agent`: see `main`."""

import sys

from .main import main

sys.exit(main())
