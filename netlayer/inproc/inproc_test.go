package inproc_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/nettest"
)

func TestConformance(t *testing.T) {
	var serial atomic.Int64
	nettest.Run(t, func(t *testing.T) netlayer.Addr {
		return netlayer.Addr(fmt.Sprintf("inproc:%s-%d", t.Name(), serial.Add(1)))
	})
}
