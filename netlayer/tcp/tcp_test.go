package tcp_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/nettest"
)

// Below the ports that kernels give to outgoing connections: the suite stops a server and listens on its port again, and
// must find it as it left it.
const (
	firstPort = 10000
	ports     = 20000
)

func TestConformance(t *testing.T) {
	nettest.Run(t, func(t *testing.T) netlayer.Addr {
		for range 100 {
			addr := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports))
			if l, err := net.Listen("tcp", addr); err == nil {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				return netlayer.Addr("tcp:" + addr)
			}
		}
		t.Fatalf("100 ports from %d to %d are in use", firstPort, firstPort+ports-1)
		return ""
	})
}
