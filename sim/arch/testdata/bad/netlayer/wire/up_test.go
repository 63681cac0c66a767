package wire

import "splitkernel/netlayer" // want: level 0 imports netlayer of level 2
