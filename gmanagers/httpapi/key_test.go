package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"splitkernel/gmanagers/httpapi"
)

// TestAKeyMakesOneOfTwoRequests: who asks again with the same key, at another manager too, gets the vNode of the first time, also
// of a refusal; another key or another spec is another vNode.
func TestAKeyMakesOneOfTwoRequests(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, "", pcomponent("p1"), mcomponent("m1"), scomponent("s1"))
	create := func(i int, key, body string) (v httpapi.VNode) {
		t.Helper()
		a := c.call(i, "POST", "/vnodes", body, func(q *http.Request) { q.Header.Set(httpapi.KeyHeader, key) })
		if a.status != http.StatusCreated {
			t.Fatalf("key %q at g%d: %d %s", key, i+1, a.status, a.body)
		}
		a.into(t, &v)
		return v
	}
	first := create(0, "a", one)
	for i := range c.apis {
		if v := create(i, "a", one); v.PID != first.PID || v.Node != first.Node || len(v.Volumes) != 1 || v.Volumes[0].Volume != first.Volumes[0].Volume {
			t.Errorf("asked again at g%d: %+v, want %+v", i+1, v, first)
		}
	}
	for _, text := range []string{"1", "zzzzzzzz-0000000000000001"} {
		if a := c.call(0, "POST", "/vnodes", one, func(q *http.Request) { q.Header[httpapi.TraceHeader] = []string{text} }); a.status != http.StatusBadRequest {
			t.Errorf("%s: %q: %d %s", httpapi.TraceHeader, text, a.status, a.body)
		}
	}
	other := create(1, "b", one)
	third := create(2, "a", strings.Replace(one, `"one"`, `"two"`, 1))
	if other.PID == first.PID || third.PID == first.PID || third.PID == other.PID {
		t.Errorf("processes %d, %d and %d, want three", first.PID, other.PID, third.PID)
	}
	var list httpapi.VNodes
	c.ok(0, "GET", "/vnodes", "", http.StatusOK, &list)
	if n := len(c.parts["s1"].holds.Holds.Volumes); len(list.VNodes) != 3 || n != 3 {
		t.Errorf("%d volumes of %+v", n, list)
	}
	for _, key := range []string{"", strings.Repeat("k", 129)} {
		a := c.call(0, "POST", "/vnodes", one, func(q *http.Request) { q.Header.Set(httpapi.KeyHeader, key) })
		c.problem(a, "a bad key", http.StatusBadRequest, "bad_request", "Idempotency-Key: ")
	}
}
