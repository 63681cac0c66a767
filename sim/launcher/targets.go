package launcher

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func targetsPath(out string) string { return filepath.Join(out, "targets.json") }

// writeTargets writes the metrics addresses of the nodes as they are now, as Prometheus reads them (file_sd_config). It is called whenever a node
// has become ready or has left; one that has died stays, so that Prometheus sees that it does not answer.
func (c *Cluster) writeTargets() error {
	c.targets.Lock() // two that write at once would use one temporary file, and the older list could come last
	defer c.targets.Unlock()
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, n := range c.Nodes() {
		if n.Metrics != "" { // else it is starting, and told of when it is ready
			groups = append(groups, group{[]string{n.Metrics}, map[string]string{"cluster": c.opts.Cluster.Name, "node": n.ID, "role": n.Role}})
		}
	}
	text, err := json.MarshalIndent(groups, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the Prometheus targets: %w", err)
	}
	// Prometheus watches the file: it must never see half of one.
	tmp := targetsPath(c.opts.Out) + ".tmp"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the Prometheus targets: %w", err)
	}
	if err := os.Rename(tmp, targetsPath(c.opts.Out)); err != nil {
		return fmt.Errorf("write the Prometheus targets: %w", err)
	}
	return nil
}
