"""`python -m evq.services.schedule schedules`: the controller of all schedules of a server."""

import sys

from ..controller import main
from .controller import serve

if __name__ == "__main__":
    sys.exit(main(serve))
