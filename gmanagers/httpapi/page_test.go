package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"splitkernel/gmanagers/httpapi"
	"splitkernel/netlayer/wire"
)

// TestPages: listings are read to their end in pages of any size, at whichever managers, also when the thing after which a page
// begins is gone.
func TestPages(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "", pcomponent("p1"), pcomponent("p2"), mcomponent("m1"), mcomponent("m2"), scomponent("s1"))
	var want []wire.PID
	for range 5 {
		var v httpapi.VNode
		c.ok(0, "POST", "/vnodes", one, http.StatusCreated, &v)
		want = append(want, v.PID)
	}
	pages := func(path string, limit int, page func(i int, path string) (next string)) {
		t.Helper()
		after := ""
		for i := 0; ; i++ {
			q := url.Values{"limit": {fmt.Sprint(limit)}}
			if after != "" {
				q.Set("after", after)
			}
			next := page(i%len(c.apis), path+"?"+q.Encode())
			if next == "" {
				return
			}
			if next == after || i > 20 {
				t.Fatalf("%s in pages of %d goes on after %s for ever", path, limit, next)
			}
			after = next
		}
	}
	vnodes := func(limit int, read func()) (got []wire.PID) {
		pages("/vnodes", limit, func(i int, path string) string {
			var list httpapi.VNodes
			c.ok(i, "GET", path, "", http.StatusOK, &list)
			if len(list.VNodes) > limit {
				t.Errorf("%s has %d vNodes", path, len(list.VNodes))
			}
			for _, v := range list.VNodes {
				got = append(got, v.PID)
				if len(v.Volumes) != 1 || v.Home == nil {
					t.Errorf("%s: %+v", path, v)
				}
			}
			read()
			return list.Next
		})
		return got
	}
	for _, limit := range []int{1, 2, 3, 5, 1000} {
		if got := vnodes(limit, func() {}); !slices.Equal(got, want) {
			t.Errorf("vNodes in pages of %d: %v, want %v", limit, got, want)
		}
	}
	deleted := false
	got := vnodes(2, func() {
		if !deleted {
			deleted = true
			var gone httpapi.Deleted
			c.ok(1, "DELETE", fmt.Sprintf("/vnodes/%d", want[1]), "", http.StatusOK, &gone)
		}
	})
	if !slices.Equal(got, want) {
		t.Errorf("vNodes, one of which went when it had been read: %v, want %v", got, want)
	}
	for _, limit := range []int{1, 3, 8, 1000} {
		var ids []string
		pages("/nodes", limit, func(i int, path string) string {
			var list httpapi.Nodes
			c.ok(i, "GET", path, "", http.StatusOK, &list)
			if len(list.Nodes) > limit {
				t.Errorf("%s has %d nodes", path, len(list.Nodes))
			}
			for _, n := range list.Nodes {
				ids = append(ids, n.ID)
			}
			return list.Next
		})
		if want := []string{"g1", "g2", "g3", "p1", "p2", "m1", "m2", "s1"}; !slices.Equal(ids, want) {
			t.Errorf("nodes in pages of %d: %v, want %v", limit, ids, want)
		}
	}
	var rest httpapi.Nodes
	c.ok(0, "GET", "/nodes?after=pcomponent:p1x", "", http.StatusOK, &rest) // there was one once
	if len(rest.Nodes) != 4 || rest.Nodes[0].ID != "p2" {
		t.Errorf("nodes after one that is gone: %+v", rest.Nodes)
	}
}
