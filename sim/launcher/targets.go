package launcher

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"splitkernel/configs"
)

func targetsPath(out string) string { return filepath.Join(out, "targets.json") }

// WriteTargets writes the nodes' metrics addresses as Prometheus reads them (file_sd_config), and beside them the bundled
// prometheus.yml that names that file.
func WriteTargets(out, cluster string, nodes []NodeInfo) error {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, n := range nodes {
		groups = append(groups, group{[]string{n.Metrics}, map[string]string{"cluster": cluster, "node": n.ID, "role": n.Role}})
	}
	text, err := json.MarshalIndent(groups, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the Prometheus targets: %w", err)
	}
	if err := os.WriteFile(filepath.Join(out, "prometheus.yml"), configs.PrometheusYAML(), 0o644); err != nil {
		return fmt.Errorf("write the Prometheus configuration: %w", err)
	}
	// Prometheus watches the file: it must never see half of one.
	tmp := targetsPath(out) + ".tmp"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the Prometheus targets: %w", err)
	}
	if err := os.Rename(tmp, targetsPath(out)); err != nil {
		return fmt.Errorf("write the Prometheus targets: %w", err)
	}
	return nil
}
