"""`python -m evq.services.autoscaler NAME`: the controller of an autoscaler."""

import sys
from functools import partial

from ..controller import main
from .controller import serve

if __name__ == "__main__":
    (name,) = sys.argv[1:]
    sys.exit(main(lambda client, holder: serve(client, name, holder, partial(print, flush=True))))
