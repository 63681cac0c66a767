package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"

	"go.yaml.in/yaml/v3"

	"splitkernel/sim/hardware"
)

// Digest identifies the effective configuration: SHA-256 over its canonical form, JSON with sorted keys and every value
// that the run would use, wherever it came from. Two files that say the same in different words have one digest.
func (c *Cluster) Digest() string { return digest(c.Effective()) }

// Digest identifies the effective workload as Cluster.Digest does the cluster. The seed is part of it; the bytes of the
// traces are not, they have digests of their own.
func (w *Workload) Digest() string { return digest(w.Effective()) }

// RunDigest identifies a run's configuration: cluster and workload together.
func RunDigest(c *Cluster, w *Workload) string {
	return digest(map[string]any{"cluster": c.Effective(), "workload": w.Effective()})
}

// SimulationDigest identifies that of a simulation: the hardware is part of it.
func SimulationDigest(c *Cluster, w *Workload, h *hardware.Profile) string {
	text, err := HardwareYAML(h)
	if err != nil {
		panic(err) // it was read from such a text
	}
	return digest(map[string]any{"cluster": c.Effective(), "workload": w.Effective(), "hardware": string(text)})
}

func digest(m map[string]any) string {
	text, err := json.Marshal(m) // sorts the keys
	if err != nil {
		panic(err) // maps, lists and scalars only
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Effective gives the effective configuration by key, sizes as numbers of bytes, for programs. A node has the keys in
// which it differs from its section.
func (c *Cluster) Effective() map[string]any {
	m := effective(reflect.ValueOf(c).Elem()).(map[string]any)
	for i, n := range m["nodes"].([]any) {
		for _, o := range c.overrides(&c.Nodes[i]) {
			n.(map[string]any)[o.key] = effective(o.value)
		}
	}
	return m
}

// Effective gives the effective workload by key, for programs.
func (w *Workload) Effective() map[string]any {
	return effective(reflect.ValueOf(w).Elem()).(map[string]any)
}

// YAML writes the effective configuration as a file that loads to the same digest.
func (c *Cluster) YAML() []byte {
	n := yamlNode(reflect.ValueOf(c).Elem(), "")
	list := n.Content[len(n.Content)-1] // nodes are the last key
	for i := range c.Nodes {
		for _, o := range c.overrides(&c.Nodes[i]) {
			list.Content[i].Content = append(list.Content[i].Content, yamlText(o.key), yamlNode(o.value, o.key))
		}
	}
	return toYAML(n)
}

// YAML writes the effective workload as a file that loads to the same digest.
func (w *Workload) YAML() []byte { return toYAML(yamlNode(reflect.ValueOf(w).Elem(), "")) }

// override is a key in which a node differs from its section.
type override struct {
	key   string
	value reflect.Value
}

func (c *Cluster) overrides(n *Node) []override {
	role, _ := ParseRole(n.Role)
	section, own := reflect.ValueOf(c.section(role)).Elem(), reflect.ValueOf(n.settings).Elem()
	var list []override
	for _, f := range fieldsOf(section.Type()) {
		if v := own.FieldByIndex(f.index); !reflect.DeepEqual(v.Interface(), section.FieldByIndex(f.index).Interface()) {
			list = append(list, override{f.key, v})
		}
	}
	return list
}

// effective turns a value into maps, lists and scalars.
func effective(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for _, f := range fieldsOf(v.Type()) {
			m[f.key] = effective(v.FieldByIndex(f.index))
		}
		return m
	case reflect.Slice:
		list := []any{}
		for i := range v.Len() {
			list = append(list, effective(v.Index(i)))
		}
		return list
	}
	return v.Interface()
}

func toYAML(n *yaml.Node) []byte {
	text, err := yaml.Marshal(n)
	if err != nil {
		panic(err) // maps, lists and scalars only
	}
	return text
}

func yamlText(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// yamlNode keeps the order of the code, which is the order in which people think of the keys.
func yamlNode(v reflect.Value, key string) *yaml.Node {
	switch v.Kind() {
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, f := range fieldsOf(v.Type()) {
			n.Content = append(n.Content, yamlText(f.key), yamlNode(v.FieldByIndex(f.index), f.key))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, yamlNode(v.Index(i), key))
		}
		return n
	}
	switch {
	case isBytes(key) && v.CanUint():
		return yamlText(FormatBytes(v.Uint()))
	case isBytes(key):
		return yamlText(FormatBytes(uint64(v.Int())))
	}
	n := &yaml.Node{}
	if err := n.Encode(v.Interface()); err != nil {
		panic(err) // a scalar
	}
	return n
}
