package configs

import "testing"

// TestEveryRoleHasALink: the section's capacity, or the node's own; 0 is a value, not a missing one.
func TestEveryRoleHasALink(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want map[string]uint64
	}{
		{nil, map[string]uint64{"g1": defaultLink, "p1": defaultLink, "m1": defaultLink, "s1": defaultLink}},
		{
			[]string{"netlayer.link_bytes_per_second=1000", "nodes.m1.link_bytes_per_second=0", "nodes.s2.link_bytes_per_second=7"},
			map[string]uint64{"g1": 1000, "p1": 1000, "m1": 0, "m2": 1000, "s1": 1000, "s2": 7},
		},
	} {
		cl, err := LoadCluster("laptop", Overrides{Set: c.set})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range c.want {
			if got := cl.Resolve(id).Netlayer.LinkBytesPerSecond; got != want {
				t.Errorf("%v: %s has %d bytes/s, want %d", c.set, id, got, want)
			}
		}
		again, err := ParseCluster("again", cl.YAML(), Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		if again.Digest() != cl.Digest() {
			t.Errorf("%v: written and read again it has another digest", c.set)
		}
	}
}
