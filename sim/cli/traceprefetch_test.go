package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestTracePrefetch: a sequence is prefetched, with rows for programs; what is wrong is refused as such.
func TestTracePrefetch(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	for page := range 2000 {
		fmt.Fprintf(&b, "R %x\n", page+16)
	}
	path := write(t, dir, "sequence.pg", b.String())
	got := call("trace", "prefetch", path, "--lines", "100", "-o", "json")
	got.want(t, exitOK)
	var rows []prefetchRow
	if err := json.Unmarshal([]byte(got.stdout), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 5 || rows[0].Prefetcher != "none" || rows[0].Misses != 2000 || rows[0].Issued != 0 {
		t.Fatalf("%+v", rows)
	}
	for _, r := range rows[1:] {
		if r.References != 2000 || r.Misses > 400 || r.Useful+r.Misses != 2000 || r.Partial {
			t.Errorf("%+v", r)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--prefetcher", "laep"}, "want one of best-offset, leap, next-n, stride"},
		{[]string{"--policy", "belady"}, "belady does not prefetch"},
		{[]string{"--depth", "65"}, "depth: 65, want 1..64"},
		{[]string{"--lines", "0"}, "1 sets of 0 ways"},
	} {
		call(append([]string{"trace", "prefetch", path}, c.args...)...).want(t, exitUsage, c.want)
	}
}
