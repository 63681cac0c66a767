package units

import (
	"os" // want: a core may not import os

	"splitkernel/netlayer/link" // want: level 0 imports netlayer/link of level 1
)
