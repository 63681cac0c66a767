package httpapi_test

import (
	"net/http"
	"reflect"
	"testing"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
)

// TestWhatBearsMostIsShown of a component, as its last heartbeat told.
func TestWhatBearsMostIsShown(t *testing.T) {
	c := startCluster(t, 1, "", mcomponent("m1"))
	m := mcomponent("m1")
	m.Epoch = c.parts["m1"].holds.Epoch
	load := wire.Load{QueueDelayUS: 7, MapOps: 3, BlockBytes: 4096, Hot: []wire.ThingLoad{
		{Kind: wire.MoveRegion, PID: 1, Ops: 900}, {Kind: wire.MoveHome, PID: 2, Ops: 3}, {Kind: wire.MoveCache, Volume: 4, Ops: 5, Bytes: 20480},
	}}
	if _, err := c.gm.Heartbeat(within(t), m, load); err != nil {
		t.Fatal(err)
	}
	var d httpapi.NodeDetail
	c.ok(0, "GET", "/nodes/m1", "", http.StatusOK, &d)
	zero := wire.RegionNo(0)
	want := []httpapi.Hot{{Kind: "vregion", PID: 1, Region: &zero, Ops: 900}, {Kind: "home", PID: 2, Ops: 3}, {Kind: "buffer_cache", Volume: 4, Ops: 5, Bytes: 20480}}
	if d.Load == nil || !reflect.DeepEqual(d.Load.Hot, want) || d.Load.MapOps != 3 || d.Load.BlockBytes != 4096 || d.Load.QueueDelayUS != 7 {
		t.Errorf("%+v, want %+v", d.Load, want)
	}
}
