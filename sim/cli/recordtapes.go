package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"splitkernel/configs"
)

// missingTapes names the nodes of a recorded cluster that have no tape: nothing of them can be verified.
// A record without its cluster tells nothing.
func missingTapes(dir string, tapes []string) error {
	file := filepath.Join(dir, recordCluster)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	c, err := configs.LoadCluster(file, configs.Overrides{})
	if err != nil {
		return err
	}
	var missing []string
	for _, n := range c.Nodes {
		own := func(tape string) bool {
			base := filepath.Base(tape)
			return strings.HasPrefix(base, string(n.ID)+".") || strings.HasPrefix(base, string(n.ID)+"-")
		}
		if !slices.ContainsFunc(tapes, own) {
			missing = append(missing, string(n.ID))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: no tape of %s, which the cluster of the run has: nothing of what it did is verified", dir, strings.Join(missing, ", "))
	}
	return nil
}
