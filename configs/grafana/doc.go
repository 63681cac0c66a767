// Package grafana describes the dashboards of a cluster, and makes of the description what Grafana reads. The folder dashboards holds the result,
// provisioning and compose.yaml what Grafana needs to show it. A test holds the folder to the description:
//
//	go test ./configs/grafana -run Dashboards -update
//
// and sim/e2e runs each query of each panel on a real Prometheus. Nobody calls this package while a cluster runs. No goroutines.
package grafana
