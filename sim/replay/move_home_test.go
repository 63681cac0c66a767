package replay

import (
	"sync/atomic"
	"testing"
	"time"

	"splitkernel/netlayer"
	"splitkernel/netlayer/wire"
)

// TestHomeMovesWhileAProcessMoves moves the home after the state of the process was exported and before its taker opens it there:
// the taker hears from the giver where the home is now, and the move is done.
func TestHomeMovesWhileAProcessMoves(t *testing.T) {
	w := newWorld(t)
	p1, p2 := w.node("p1", ""), w.node("p2", "")
	s := w.begin(p1, few)
	home := wire.MoveReq{
		Move: wire.MoveID{Manager: wire.GMM, No: 1}, Kind: wire.MoveHome, PID: s.PID, OldEpoch: 1, Epoch: 2, UndoEpoch: 3,
		To: w.m[1].Node, ToAddr: w.m[1].Addr, Via: "p1", ViaAddr: string(p1.addr), TimeoutMS: 20_000,
	}
	var once atomic.Bool
	p2.intercept(func(req *netlayer.Request, serve func() error) error {
		if req.Op == wire.OpProcessResume && !once.Swap(true) {
			peer := netlayer.NewPeer(netlayer.Addr(w.m[0].Addr), worldNet(wire.RoleClient, "test"))
			defer peer.Close()
			if err := peer.Control(t.Context(), wire.OpMoveStart, 0, home, nil); err != nil {
				t.Error(err)
			}
			var st wire.MoveStatusRep
			for deadline := time.Now().Add(20 * time.Second); !st.State.Ended() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				if err := peer.Control(t.Context(), wire.OpMoveStatus, 0, wire.MoveRef{Move: home.Move}, &st); err != nil {
					t.Error(err)
					break
				}
			}
			if st.State != wire.MoveDone {
				t.Errorf("the home: %+v", st)
			}
		}
		return serve()
	})
	if st := w.moved(p1, w.order(s.PID, s.Epoch, p2)); st.State != wire.MoveDone || st.Epoch != s.Epoch+1 {
		t.Fatalf("%+v, want it done", st)
	}
	if !once.Load() {
		t.Fatal("no order to serve came")
	}
	w.runs(p2, s.PID)
	w.stopAt(p2, s.PID)
}
