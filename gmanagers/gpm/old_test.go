package gpm

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// commandsV1 and snapshotsV1 were written by the release before chance and turns: the seeds of the fuzz tests, and the
// snapshots before and after each.
var (
	commandsV1 = []string{
		"AQGUAQGTAK5mZXdlc3RfdGhyZWFkc5GUonAxAaAAlAGWonAxAqlpbnByb2M6cDGglgJkAAAAAACToAAAAA==",
		"AQGUAQKTAK5mZXdlc3RfdGhyZWFkc5GUonAxAaAAlAKWoACgoJYAAAAAAAAAk6FhAQoA",
		"AQGUAQOTAK5mZXdlc3RfdGhyZWFkc5GUonAxAaAAlAOWoACgoJYAAAAAAAAAk6AAAAE=",
	}
	snapshotsV1 = []string{
		"AQGUAZCQkgCQ",
		"AQGUAZGWonAxAqlpbnByb2M6cDGglgJkAAAAAAGQkgGRlAEBAZGSAZQAoAGUAACgoA==",
		"AQGUApGWonAxAqlpbnByb2M6cDGglgJkAAAAAAGRmAEBoWEBCqJwMQEAkgKRlAECApKSAZQAoAGUAACgoJIClACgAJQBAaJwMalpbnByb2M6cDE=",
		"AQGUApGWonAxAqlpbnByb2M6cDGglgJkAAAAAAGQkgORlAEDA5OSAZQAoAGUAACgoJIClACgAJQBAaJwMalpbnByb2M6cDGSA5QAoACUAACgoA==",
	}
)

func bytesOf(t testing.TB, s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestReadsVersion1: the log and the snapshots of the release before are read, and both ways lead to one state.
func TestReadsVersion1(t *testing.T) {
	s := New()
	now, _ := fuzzSeeds()
	for i, old := range append([]string{""}, commandsV1...) {
		if i > 0 {
			c, err := DecodeCommand(bytesOf(t, old))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.Encode(), now[i-1]) {
				t.Errorf("command %d is read as %+v", i, c)
			}
			res, err := DecodeResult(s.ApplyBytes(bytesOf(t, old)))
			if err != nil || res.Err() != nil {
				t.Fatalf("command %d: %v, %v", i, err, res.Err())
			}
		}
		n := New()
		if err := n.Restore(bytesOf(t, snapshotsV1[i])); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(n.Snapshot(), s.Snapshot()) {
			t.Errorf("after %d commands the snapshot and the log differ", i)
		}
		for cut := range bytesOf(t, snapshotsV1[i]) {
			if New().Restore(bytesOf(t, snapshotsV1[i])[:cut]) == nil {
				t.Fatalf("snapshot %d cut to %d bytes was accepted", i, cut)
			}
		}
	}
	if _, err := DecodeCommand([]byte{3}); err == nil || !strings.Contains(err.Error(), "format version 3, want 2") {
		t.Error(err)
	}
}
