package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"splitkernel/netlayer/wire"
	"splitkernel/sim/report"
	"splitkernel/sim/vcluster"
)

// maxManifestBytes bounds a manifest that is read: that of the largest workload has some MiB.
const maxManifestBytes = 256 << 20

// ReadPlacement reads where the vNodes of a run were from its manifest.
func ReadPlacement(path string) ([]report.Placement, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxManifestBytes {
		return nil, fmt.Errorf("manifest %s: want a regular file of at most %d bytes", path, maxManifestBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var m report.Manifest
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w, want the manifest.json of a run", path, err)
	}
	if m.Schema != report.SchemaManifest {
		return nil, fmt.Errorf("manifest %s: schema %q, want %q", path, m.Schema, report.SchemaManifest)
	}
	if m.Placement == nil {
		m.Placement = []report.Placement{}
	}
	return m.Placement, nil
}

// placedOf gives a placement as the virtual cluster wants it.
func placedOf(from []report.Placement) ([]vcluster.Placed, error) {
	if from == nil {
		return nil, nil
	}
	out := make([]vcluster.Placed, 0, len(from))
	var errs []error
	for _, p := range from {
		if len(p.Hosts) > 1 {
			errs = append(errs, fmt.Errorf("placement of %s: it ran at %v, one after the other; a placement has one", p.VNode, p.Hosts))
		}
		v := vcluster.Placed{Name: p.VNode, PID: p.PID, Node: p.PComponent, Home: p.Home, Regions: map[wire.RegionNo]wire.NodeID{}}
		for _, r := range p.Regions {
			v.Regions[r.Number] = r.Owner
		}
		for _, vol := range p.Volumes {
			v.Volumes = append(v.Volumes, vcluster.PlacedVolume{ID: vol.ID, Storage: vol.Storage, Cache: vol.Cache})
		}
		out = append(out, v)
	}
	return out, errors.Join(errs...)
}
