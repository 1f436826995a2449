"""`python -m lambdalib` is the command `lambdalib`."""

import sys

from lambdalib.cli import main

sys.exit(main())
