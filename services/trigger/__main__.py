"""`python -m evq.services.trigger triggers`: the controller of all triggers of a server, but for
those that have a secret: `… NAME` is that of one of them."""

import sys
from functools import partial

from ..controller import main
from .controller import serve

if __name__ == "__main__":
    sys.exit(main(partial(serve, name=sys.argv[1])))
