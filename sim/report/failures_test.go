package report

import (
	"strings"
	"testing"
	"time"

	"splitkernel/gmanagers/events"
	"splitkernel/gmanagers/membership"
	"splitkernel/netlayer/wire"
)

// TestFailures: what managers tell of a death becomes a row with the times since the last sign of life; what did not come is not there.
func TestFailures(t *testing.T) {
	var s Summary
	why := membership.Death{Cause: membership.CauseRefused, Detect: 120 * time.Millisecond}.String() + ", nobody listens"
	s.AddFailures(wire.GMM, []events.Event{
		{MS: 10_500, Kind: events.Dead, Node: "m2", Epoch: 3, Reason: why},
		{MS: 10_500, Kind: events.Recovering, Node: "m2", Epoch: 3, Amount: 7},
		{MS: 10_510, Kind: events.Fenced, Node: "m2", Epoch: 3, Reason: membership.FenceText(130 * time.Millisecond)},
		{MS: 10_700, Kind: events.FirstAccess, Node: "m2", Epoch: 3, Amount: 200},
		{MS: 11_000, Kind: events.Dead, Node: "m2", Epoch: 4, Reason: "declared dead"},
		{MS: 12_500, Kind: events.Restored, Node: "m2", Epoch: 3, Amount: 2000},
	}, 10_000)
	s.AddFailures(wire.GSM, []events.Event{
		{MS: 10_100, Kind: events.Dead, Node: "s1", Epoch: 1, Reason: why},
		{MS: 10_200, Kind: events.ReplicaFills, Node: "s3", From: "s1", Volume: 4},
		{MS: 10_200, Kind: events.ReplicaFills, Node: "s3", From: "s1", Volume: 5},
		{MS: 10_900, Kind: events.ReplicaInSync, Node: "s3", Volume: 5, Amount: 800},
		{MS: 10_950, Kind: events.ReplicaInSync, Node: "s3", Volume: 4, Amount: 850},
	}, 10_000)
	var b strings.Builder
	failures(&b, &s)
	want := `failed  at s  cause    detected ms  fenced ms  first access ms  redundant ms  served by others
s1      0.10  refused  120          -          -                970           0
m2      0.50  refused  120          130        320              2120          7
m2      1.00  by hand  -            -          -                -             0

`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}
