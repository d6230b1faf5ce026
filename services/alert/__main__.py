"""`python -m evq.services.alert NAME`: sends what is told to one alert."""

import sys
from functools import partial

from ..controller import main
from .controller import serve

if __name__ == "__main__":
    sys.exit(main(partial(serve, name=sys.argv[1])))
