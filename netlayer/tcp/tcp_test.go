package tcp_test

import (
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/nettest"
)

func TestConformance(t *testing.T) {
	nettest.Run(t, func(t *testing.T) netlayer.Addr { return "tcp:127.0.0.1:0" })
}
