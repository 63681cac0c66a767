package vtime

import (
	"splitkernel/gmanagers/gpm"
	"splitkernel/pcomponent" // want: sim/vtime sees levels 0 and 1 only, not pcomponent of level 3
)
