// Package nettest is the conformance suite of netlayer: what every transport must do for a Peer and a Server over it.
// Transports call Run from their tests; nothing else does.
//
//	func TestConformance(t *testing.T) {
//		nettest.Run(t, func(t *testing.T) netlayer.Addr { return "tcp:127.0.0.1:0" })
//	}
package nettest
