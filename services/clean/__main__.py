"""`python -m evq.services.clean NAME`: the controller of one cleaning."""

import sys
from functools import partial

from ..controller import main
from .controller import serve

if __name__ == "__main__":
    sys.exit(main(partial(serve, name=sys.argv[1])))
