package configs

import (
	"maps"
	"strconv"

	"splitkernel/sim/hardware"
)

// Flat gives the effective configuration of a run with one key for each value, as --set writes them: what two runs are compared by.
// The hardware may be nil. A token is a secret: only whether there is one is told.
func Flat(c *Cluster, w *Workload, h *hardware.Profile) map[string]any {
	out := map[string]any{}
	flat(out, "", c.Effective())
	if c.Token != "" {
		out["token"] = "(set)"
	}
	flat(out, workloadPrefix, w.Effective())
	if h != nil {
		out[hardwareKey] = h.Name
		maps.Copy(out, flatHardware(h))
	}
	return out
}

// flat adds the scalars of a section. Elements of lists go by their id or name, as in --set.
func flat(out map[string]any, prefix string, m map[string]any) {
	for k, v := range m {
		switch v := v.(type) {
		case map[string]any:
			flat(out, prefix+k+".", v)
		case []any:
			for i, e := range v {
				if section, ok := e.(map[string]any); ok {
					flat(out, prefix+k+"."+elementName(section, i)+".", section)
				} else {
					out[prefix+k+"."+strconv.Itoa(i)] = e
				}
			}
		case uint64:
			if out[prefix+k] = v; isBytes(k) {
				out[prefix+k] = FormatBytes(v)
			}
		default:
			out[prefix+k] = v
		}
	}
}

// elementName is how --set names an element of a list; one that it cannot name has its number.
func elementName(m map[string]any, i int) string {
	for _, k := range []string{"id", "name", "tenant"} {
		if s, ok := m[k].(string); ok {
			return s
		}
	}
	return strconv.Itoa(i)
}
