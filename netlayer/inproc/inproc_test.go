package inproc_test

import (
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/nettest"
)

func TestConformance(t *testing.T) {
	nettest.Run(t, func(t *testing.T) netlayer.Addr { return netlayer.Addr("inproc:" + t.Name()) })
}
