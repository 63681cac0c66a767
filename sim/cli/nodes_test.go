package cli

import (
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
)

// TestLostMoves: of the moves of a cluster those count that a drain of the node began since and that lost something.
func TestLostMoves(t *testing.T) {
	began := time.UnixMilli(5000)
	region := wire.RegionNo(3)
	lost := httpapi.Move{Kind: "vregion", PID: 7, Region: &region, From: "m1", To: "m2", State: "lost", Cause: "drain", Begun: began, Text: "m2 has ended"}
	volume, done, before, other, byHand := lost, lost, lost, lost, lost
	volume.Kind, volume.PID, volume.Region, volume.Volume = "volume", 0, nil, 8
	done.State = "done"
	before.Begun = began.Add(-time.Second)
	other.From = "m3"
	byHand.Cause = "by_hand"
	got := strings.Join(lostMoves([]httpapi.Move{lost, volume, done, before, other, byHand}, "m1", began.Add(time.Microsecond)), "; ")
	if want := "vregion 3 of vNode 7, on its way to m2 (m2 has ended); volume 8, on its way to m2 (m2 has ended)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
