package endpoint

import (
	"time"

	"splitkernel/netlayer" // want: level 1 imports netlayer of level 2
	"splitkernel/netlayer/link"
)

var now = time.Now // want: a core may not use time.Now
