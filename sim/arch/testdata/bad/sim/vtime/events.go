package vtime

import (
	"sync" // want: a core may not import sync

	"splitkernel/gmanagers/gpm"
	"splitkernel/pcomponent" // want: sim/vtime sees levels 0 and 1 only, not pcomponent of level 3
)
