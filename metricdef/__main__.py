"""`python -m metricdef` is the command line."""

import sys

from metricdef.cli.main import main

sys.exit(main())
