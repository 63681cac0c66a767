package netlayer_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// TestALongReplyThatStallsKeepsNoDeadline: a long payload begins and stalls while somebody writes and nobody reads, so that the housekeeper finds it. The
// deadlines of other calls are kept all the same: it does not wait for the rest.
func TestALongReplyThatStallsKeepsNoDeadline(t *testing.T) {
	stop, begun := make(chan struct{}), make(chan struct{})
	addr := fakeServer(t, func(nc net.Conn) {
		head := make([]byte, wire.HeaderLen)
		if _, err := io.ReadFull(nc, head); err != nil {
			return
		}
		h, _ := wire.ParseHeader(head)
		io.CopyN(io.Discard, nc, int64(h.BodyLen))
		<-begun // who asked waits no more
		h = wire.Header{Op: wire.OpReplicaRead, Flags: wire.FlagReply, Call: h.Call, PayloadLen: 64 * wire.PageSize, BodyCRC: wire.Checksum(nil)}
		nc.Write(append(h.Append(nil), make([]byte, 40*wire.PageSize)...))
		<-stop
	})
	o := peerOptions()
	o.WriteTimeoutMS = 60_000
	p := netlayer.NewPeer(addr, o)
	long := netlayer.Call{Op: wire.OpReplicaRead, Body: []byte{64}, Timeout: time.Minute, Pieces: [][]byte{make([]byte, 64*wire.PageSize)}}
	if err := p.Start(&long); err != nil {
		t.Fatal(err)
	}
	short := netlayer.Call{Op: wire.OpPing, Timeout: time.Second}
	if err := p.Start(&short); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { // fills what is between them, and is stuck
		for {
			if p.Start(&netlayer.Call{Op: wire.OpPing, Body: make([]byte, wire.MaxBody), Timeout: time.Minute}) != nil {
				return
			}
		}
	})
	close(begun)
	for deadline := time.Now().Add(8 * time.Second); !p.Done(&short); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("the deadline of another call is not kept while a long payload stalls")
			break
		}
	}
	if p.Done(&short) && wire.KindOf(short.Err) != wire.KindTimeout {
		t.Errorf("it ended with %v, want a timeout", short.Err)
	}
	close(stop)
	p.Close()
	wg.Wait()
}
