package cli

import (
	"os"
	"strings"
	"testing"
)

func TestReproduceBadUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct{ line, want string }{
		{"reproduce legoos --scale 3", "scale: 3, want a power of two of 1 to 64"},
		{"reproduce legoos --scale 128", "scale: 128"},
		{"reproduce legoos more", "unknown command"},
		{"reproduce nonsense", `unknown command "nonsense"`},
	} {
		got := call(strings.Fields(c.line)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, c.want) || got.stdout != "" {
			t.Errorf("%s: exit %d, %q, want %d and %q", c.line, got.code, got.stderr, exitUsage, c.want)
		}
	}
	if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
		t.Errorf("bad usage left %v, %v", left, err)
	}
}
