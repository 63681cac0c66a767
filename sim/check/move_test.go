package check

import (
	"testing"

	"pgregory.net/rapid"
)

// TestVersionsGoElsewhere exports versions and imports them: each page has its version, and the same again gives the same
// bytes. What is cut off or damaged is refused or gives other versions, and never panics.
func TestVersionsGoElsewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := NewPages()
		want := map[uint64]uint64{}
		for range rapid.IntRange(0, 200).Draw(t, "pages") {
			p := rapid.Uint64Range(0, 1<<36).Draw(t, "page")
			if rapid.Bool().Draw(t, "near") {
				p %= 3000
			}
			v := rapid.Uint64Range(0, 1<<40).Draw(t, "version")
			*a.at(p, true), want[p] = v, v
		}
		bytes := a.Export(nil)
		b := NewPages()
		if err := b.Import(bytes); err != nil {
			t.Fatal(err)
		}
		for p, v := range want {
			if b.Want(p) != v {
				t.Fatalf("page %d: version %d, want %d", p, b.Want(p), v)
			}
		}
		if string(b.Export(nil)) != string(bytes) {
			t.Fatal("exported again it is something else")
		}
		if len(bytes) > 0 {
			cut := rapid.IntRange(0, len(bytes)-1).Draw(t, "cut")
			_ = NewPages().Import(bytes[:cut])
			damaged := append([]byte(nil), bytes...)
			damaged[cut] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
			_ = NewPages().Import(damaged)
		}
	})
}
