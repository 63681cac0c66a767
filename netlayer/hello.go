package netlayer

import (
	"crypto/subtle"
	"fmt"

	"splitkernel/netlayer/wire"
)

// maxHello bounds the body of a hello in bytes: two names of maxName, a node id and some numbers.
const maxHello = 1024

// maxErrorText bounds the text of an error that crosses the wire, in bytes.
const maxErrorText = 4096

// helloFault says why a hello is refused: a bounded reason for the counter, a text for people; both empty if it is good.
func helloFault(h wire.Hello, cluster, token string) (reason, text string) {
	switch {
	case h.Protocol != wire.Version:
		return "hello_version", fmt.Sprintf("protocol %d, want %d", h.Protocol, wire.Version)
	case h.Cluster != cluster:
		return "hello_cluster", fmt.Sprintf("cluster %.140q, want %q", h.Cluster, cluster)
	case subtle.ConstantTimeCompare([]byte(h.Token), []byte(token)) != 1:
		return "hello_token", "the token differs"
	}
	return "", ""
}

// helloFrame makes the frame of a hello.
func helloFrame(h wire.Hello, flags wire.Flags) []byte {
	body := wire.Marshal(h)
	return appendFrame(nil, &wire.Header{Op: wire.OpHello, Flags: flags, Epoch: wire.KnowsTrace, BodyLen: uint32(len(body))}, body, nil)
}

// errorText gives the text of an error as it crosses the wire: that of a *wire.Error in the chain without its kind, which
// crosses as a number, if the chain adds nothing to it.
func errorText(err error) string {
	text := err.Error()
	if e, ok := err.(*wire.Error); ok {
		text = e.Text
	}
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return text
}
