"""`python -m evq.services.sweep NAME`: the controller of a sweep."""

import sys

from ..controller import main
from .controller import run

if __name__ == "__main__":
    (name,) = sys.argv[1:]
    sys.exit(main(lambda client, holder: run(client, name, holder)))
