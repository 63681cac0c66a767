package excache

import (
	"context"  // want: a core may not import context
	"log/slog" // want: a core may not import log/slog
	"math/rand/v2"
	"net/http"    // want: a core may not import net/http
	"os"          // want: a core may not import os
	"sync/atomic" // want: a core may not import sync/atomic
	clock "time"

	"splitkernel/gmanagers/gpm" // want: core pcomponent/excache imports core gmanagers/gpm of another room
	"splitkernel/netlayer"      // want: level 1 imports netlayer of level 2
)

const fine = 3 * clock.Second

func now() clock.Time { // want: a core may not use time.Time
	return clock.Now() // want: a core may not use time.Now
}

func chance(r *rand.Rand) int {
	return r.IntN(3) + rand.IntN(3) // want: a core may not use math/rand/v2.IntN
}

func start() {
	go now() // want: a core may not start a goroutine
}
