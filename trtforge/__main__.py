"""Run the command line as ``python -m trtforge``."""

import sys

from trtforge.cli import main

sys.exit(main())
