"""`python -m evq.services.trigger triggers`: the controller of all triggers of a server."""

import sys

from ..controller import main
from .controller import serve

if __name__ == "__main__":
    sys.exit(main(serve))
