package configs

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// EnvPrefix begins every name of the environment that the program reads. A name with this prefix that is no key is an
// error: a misspelt setting that is silently ignored costs more than one that stops.
const EnvPrefix = "SPLITKERNEL_"

// workloadPrefix begins the keys of `--set` and, in capitals, the names of the environment that mean the workload file.
const workloadPrefix = "workload."

// Overrides lie over what a file says: the environment first, then Set.
type Overrides struct {
	Set []string // "key=value"; keys of the workload begin with "workload."
	Env []string // "NAME=value", as os.Environ gives it
	// From begins what faults call the keys of Set; empty is "--set: ".
	From string
}

// part is a file's share of the overrides: keys without "workload.".
type part struct {
	key, value, origin string
}

// forFile picks the overrides of the cluster or of the workload. scalars are the dotted keys that the environment may set.
func (o Overrides) forFile(fs *faults, workload bool, scalars []string) []part {
	var parts []part
	byName := map[string]string{}
	var names []string
	for _, k := range scalars {
		name := envName(k, workload)
		byName[name] = k
		names = append(names, name)
	}
	for _, e := range o.Env {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, envName("", true)) != workload {
			continue
		}
		key, ok := byName[name]
		if !ok {
			fs.list = append(fs.list, "environment: "+name+": "+strings.Replace(suggest(name, names), "key", "name", 1))
			continue
		}
		parts = append(parts, part{key, value, "environment: " + name})
	}
	from := cmp.Or(o.From, "--set: ")
	for _, s := range o.Set {
		key, value, ok := strings.Cut(s, "=")
		isWorkload := strings.HasPrefix(key, workloadPrefix)
		switch {
		case !ok || key == "":
			if !workload { // said once, although both files are asked
				fs.list = append(fs.list, fmt.Sprintf("%s%q, want key=value", from, s))
			}
		case !isWorkload && isWorkloadKey(key):
			if !workload {
				fs.list = append(fs.list, fmt.Sprintf("%s%s: a key of the workload, want %s%s", from, key, workloadPrefix, key))
			}
		case isWorkload == workload:
			key = strings.TrimPrefix(key, workloadPrefix)
			parts = append(parts, part{key, value, from + s[:len(s)-len(value)-1]})
		}
	}
	return parts
}

// isWorkloadKey reports whether a key means the workload although it does not say so.
func isWorkloadKey(key string) bool {
	top, _, _ := strings.Cut(key, ".")
	return hasKey(fieldsOf(reflect.TypeFor[Workload]()), top) && !hasKey(fieldsOf(reflect.TypeFor[Cluster]()), top)
}

func envName(key string, workload bool) string {
	if workload {
		key = workloadPrefix + key
	}
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// apply writes the overrides into what the file says and remembers where each came from, so that a fault in its value
// is reported there.
func apply(fs *faults, raw map[string]any, parts []part) {
	for _, p := range parts {
		var value any
		if err := yaml.Unmarshal([]byte(p.value), &value); err != nil {
			fs.list = append(fs.list, fmt.Sprintf("%s: %q is no value: %s", p.origin, p.value, firstLine(err)))
			continue
		}
		if value == nil {
			value = ""
		}
		if err := setPath(raw, strings.Split(p.key, "."), value); err != nil {
			fs.list = append(fs.list, p.origin+": "+err.Error())
			continue
		}
		fs.origins[p.key] = p.origin
	}
}

// setPath writes value at path. A step into a list names the element by its id or name.
func setPath(at map[string]any, path []string, value any) error {
	if len(path) == 1 {
		at[path[0]] = value
		return nil
	}
	switch next := at[path[0]].(type) {
	case nil:
		m := map[string]any{}
		at[path[0]] = m
		return setPath(m, path[1:], value)
	case map[string]any:
		return setPath(next, path[1:], value)
	case []any:
		for _, e := range next {
			if m, ok := e.(map[string]any); ok && len(path) > 2 && (m["id"] == path[1] || m["name"] == path[1]) {
				return setPath(m, path[2:], value)
			}
		}
		return fmt.Errorf("%s has no element %q", path[0], path[1])
	default:
		return fmt.Errorf("%s is %s and has no keys", path[0], show(next))
	}
}

// parseYAML reads one document whose top is a section; without one, every other fault would be an echo.
func parseYAML(fs *faults, text []byte) (map[string]any, error) {
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var raw map[string]any
	if err := dec.Decode(&raw); err != nil {
		fs.add("", "%s, want a section of keys", firstLine(err))
		return nil, fs.err()
	}
	var more any
	if err := dec.Decode(&more); err == nil {
		fs.add("", "a second document after ---, want one")
	}
	if raw == nil { // an empty section
		raw = map[string]any{}
	}
	return raw, nil
}

func firstLine(err error) string {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	s = strings.TrimPrefix(s, "unmarshal errors:\n")
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
