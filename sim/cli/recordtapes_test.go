package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMissingTapes: a tape that was lost is told, and a node that was started again has several.
func TestMissingTapes(t *testing.T) {
	dir := t.TempDir()
	if err := missingTapes(dir, nil); err != nil {
		t.Errorf("without a cluster: %v", err)
	}
	text, err := os.ReadFile(small(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, recordCluster, string(text))
	tape := func(name string) string { return filepath.Join(dir, name) }
	if err := missingTapes(dir, []string{tape("g1.tape"), tape("m1-start2.tape"), tape("p1.tape"), tape("p1-start2.tape"), tape("s1.tape")}); err != nil {
		t.Error(err)
	}
	if err := missingTapes(dir, []string{tape("g1.tape"), tape("p10.tape")}); err == nil || !strings.Contains(err.Error(), "no tape of p1, m1, s1,") {
		t.Errorf("%v, want p1, m1 and s1", err)
	}
	write(t, dir, recordCluster, "nodes: 3\n")
	if err := missingTapes(dir, nil); err == nil || !strings.Contains(err.Error(), recordCluster+": nodes: ") {
		t.Errorf("%v, want the key", err)
	}
}
