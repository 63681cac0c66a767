package configs

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
)

// faults collects what is wrong in one file, in the order in which it is found.
type faults struct {
	file    string
	origins map[string]string // keys that were set elsewhere than in the file, and where
	list    []string
}

func newFaults(file string) *faults { return &faults{file: file, origins: map[string]string{}} }

func (f *faults) add(key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	switch origin, ok := f.origins[key]; {
	case ok:
		text = origin + ": " + text
	case key != "":
		text = f.file + ": " + key + ": " + text
	default:
		text = f.file + ": " + text
	}
	f.list = append(f.list, text)
}

// unknown adds a key that does not exist. If it came with a longer one from elsewhere, as in --set sectoin.key=1, it is
// reported there.
func (f *faults) unknown(prefix, key string, known []string) {
	full := prefix + key
	for _, k := range sortedKeys(f.origins) {
		if strings.HasPrefix(k, full+".") {
			f.list = append(f.list, f.origins[k]+": "+key+": "+suggest(key, known))
			return
		}
	}
	f.add(full, "%s", suggest(key, known))
}

// addErr adds every fault of err, each with prefix before its key.
func (f *faults) addErr(prefix string, err error) {
	for _, text := range flatten("", err) {
		key, text, ok := strings.Cut(prefix+text, ": ")
		if !ok {
			key, text = "", key
		}
		f.add(key, "%s", text)
	}
}

// flatten lists the errors that err joins, those of nested sections by their dotted keys.
func flatten(prefix string, err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []string
		for _, e := range joined.Unwrap() {
			list = append(list, flatten(prefix, e)...)
		}
		return list
	}
	if name, inner := section(err); inner != nil {
		return flatten(prefix+name+".", inner)
	}
	return []string{prefix + err.Error()}
}

// section recognises the faults of a nested section, which a room reports as "name: " before them all.
func section(err error) (name string, inner error) {
	inner = errors.Unwrap(err)
	if _, joined := inner.(interface{ Unwrap() []error }); !joined {
		return "", nil
	}
	name, ok := strings.CutSuffix(err.Error(), ": "+inner.Error())
	if !ok || strings.ContainsAny(name, " \n") {
		return "", nil
	}
	return name, inner
}

// err is nil if nothing is wrong.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &FaultsError{Faults: f.list}
}

// FaultsError is what a bad configuration gives: every fault, one a line, each with its file and key.
type FaultsError struct {
	Faults []string
}

func (e *FaultsError) Error() string { return strings.Join(e.Faults, "\n") }

// checkSection compares a section as it was read with the struct that it is for and returns it with every value in the
// type that the struct has. Faults are added, not returned: the caller wants them all.
func checkSection(fs *faults, prefix string, raw map[string]any, t reflect.Type, skip ...string) map[string]any {
	fields := fieldsOf(t)
	known := map[string]field{}
	for _, f := range fields {
		known[f.key] = f
	}
	skipped := map[string]bool{}
	for _, k := range skip {
		skipped[k] = true
	}
	out := map[string]any{}
	for _, k := range sortedKeys(raw) {
		f, ok := known[k]
		switch {
		case skipped[k]:
		case !ok:
			fs.unknown(prefix, k, keysOf(fields))
		default:
			if v, ok := checkValue(fs, prefix+k, raw[k], f); ok {
				out[k] = v
			}
		}
	}
	return out
}

// checkValue compares one value with its field. Nothing is converted weakly: "5" is no number and 5 is no size.
func checkValue(fs *faults, key string, v any, f field) (any, bool) {
	if v == nil {
		fs.add(key, "no value, want %s; leave the key out for its default", wanted(f))
		return nil, false
	}
	switch f.typ.Kind() {
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			fs.add(key, "%s, want a section of keys", show(v))
			return nil, false
		}
		return checkSection(fs, key+".", m, f.typ), true
	case reflect.Slice:
		if list, ok := v.([]any); ok {
			return checkList(fs, key, list, f.typ.Elem()), true
		}
	case reflect.String:
		if s, ok := v.(string); ok {
			return s, true
		}
	case reflect.Bool:
		if b, ok := v.(bool); ok {
			return b, true
		}
	case reflect.Float32, reflect.Float64:
		switch n := v.(type) {
		case float64:
			if !math.IsNaN(n) && !math.IsInf(n, 0) {
				return n, true
			}
		case int:
			return float64(n), true
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return checkInteger(fs, key, v, f)
	default:
		panic(fmt.Sprintf("configs: %s has type %s, which no file can hold", key, f.typ))
	}
	fs.add(key, "%s, want %s", show(v), wanted(f))
	return nil, false
}

// checkList compares the entries of a list of sections with their struct, or of a list of texts with nothing.
func checkList(fs *faults, key string, list []any, t reflect.Type) []any {
	out := make([]any, 0, len(list))
	for i, e := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		if text, ok := e.(string); t.Kind() == reflect.String {
			if !ok {
				fs.add(at, "%s, want text", show(e))
			}
			out = append(out, text)
		} else if m, ok := e.(map[string]any); ok {
			out = append(out, checkSection(fs, at+".", m, t))
		} else {
			fs.add(at, "%s, want a section of keys", show(e))
		}
	}
	return out
}

func checkInteger(fs *faults, key string, v any, f field) (any, bool) {
	if isBytes(f.key) {
		s, ok := v.(string)
		if !ok {
			fs.add(key, "%s, want %s", show(v), wanted(f))
			return nil, false
		}
		n, err := ParseBytes(s)
		if err != nil {
			fs.add(key, "%s", err)
			return nil, false
		}
		return checkRange(fs, key, v, n, false, f)
	}
	switch n := v.(type) {
	case int:
		if n < 0 {
			return checkRange(fs, key, v, uint64(-int64(n)), true, f)
		}
		return checkRange(fs, key, v, uint64(n), false, f)
	case int64:
		return checkRange(fs, key, v, uint64(n), false, f) // yaml gives int64 only to what is too large for an int
	case uint64:
		return checkRange(fs, key, v, n, false, f)
	}
	fs.add(key, "%s, want %s", show(v), wanted(f))
	return nil, false
}

// checkRange returns the integer of the given magnitude and sign in the field's own type.
func checkRange(fs *faults, key string, shown any, magnitude uint64, negative bool, f field) (any, bool) {
	r := reflect.New(f.typ).Elem()
	if r.CanUint() {
		if !negative && !r.OverflowUint(magnitude) {
			r.SetUint(magnitude)
			return r.Interface(), true
		}
		if negative {
			fs.add(key, "%s, want a number of at least 0", show(shown))
			return nil, false
		}
	} else if magnitude <= math.MaxInt64 {
		n := int64(magnitude)
		if negative {
			n = -n
		}
		if !r.OverflowInt(n) {
			r.SetInt(n)
			return r.Interface(), true
		}
	}
	fs.add(key, "%s, which is too large", show(shown))
	return nil, false
}

// wanted says in words what a field takes.
func wanted(f field) string {
	switch f.typ.Kind() {
	case reflect.Struct:
		return "a section of keys"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	switch {
	case isBytes(f.key):
		return "a size with its unit, as in 64MiB"
	case strings.HasSuffix(f.key, "_ms"):
		return "a whole number of milliseconds"
	}
	return "a whole number"
}

// show prints a value as it may stand in a file.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "missing"
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		if len(v) == 0 {
			return "an empty list"
		}
		return "a list"
	case map[string]any:
		return "a section"
	}
	return fmt.Sprint(v)
}
