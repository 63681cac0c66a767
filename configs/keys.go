package configs

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"unicode"
)

// keyOf gives the key of a struct field: its yaml tag, or its name in snake case so that most Options need no tags and the
// name in the code, in the file and in Validate's message cannot drift apart.
func keyOf(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); tag != "" {
		return tag
	}
	return snake(f.Name)
}

func snake(name string) string {
	name = strings.ReplaceAll(name, "ExCache", "Excache") // the field's term is one word
	rs := []rune(name)
	var b strings.Builder
	for i, r := range rs {
		if i > 0 && unicode.IsUpper(r) {
			afterLower := !unicode.IsUpper(rs[i-1])
			beforeLower := i+1 < len(rs) && unicode.IsLower(rs[i+1])
			if afterLower || beforeLower {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// field is one key of a section.
type field struct {
	key   string
	index []int
	typ   reflect.Type
}

// fieldsOf lists the keys of a struct type in the order of the code, those of an embedded struct as its own. Fields
// tagged `yaml:"-"` and those that follow from the rest of the cluster are no keys.
func fieldsOf(t reflect.Type) []field {
	var fs []field
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case !f.IsExported() || keyOf(f) == "-" || slices.Contains(derived[t], keyOf(f)):
		case f.Anonymous:
			for _, e := range fieldsOf(f.Type) {
				fs = append(fs, field{e.key, append([]int{i}, e.index...), e.typ})
			}
		default:
			fs = append(fs, field{keyOf(f), []int{i}, f.Type})
		}
	}
	return fs
}

func hasKey(fs []field, key string) bool {
	return slices.ContainsFunc(fs, func(f field) bool { return f.key == key })
}

func keysOf(fs []field) []string {
	var keys []string
	for _, f := range fs {
		keys = append(keys, f.key)
	}
	return keys
}

// isBytes reports whether a key holds a byte size, which is written with a unit.
func isBytes(key string) bool { return strings.HasSuffix(key, "_bytes") }

// leaves appends the dotted keys of all scalars below t.
func leaves(t reflect.Type, prefix string, out []string) []string {
	for _, f := range fieldsOf(t) {
		switch f.typ.Kind() {
		case reflect.Struct:
			out = leaves(f.typ, prefix+f.key+".", out)
		case reflect.Slice, reflect.Map: // lists are no leaves
		default:
			out = append(out, prefix+f.key)
		}
	}
	return out
}

// suggest names the known key nearest to key, or lists the known ones if none is near.
func suggest(key string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		d := editDistance(key, k)
		if strings.HasPrefix(k, key+"_") { // the unit was left out
			d = 1
		}
		if d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("unknown key, did you mean %s?", best)
	}
	known = append([]string(nil), known...)
	sort.Strings(known)
	return "unknown key, want one of " + strings.Join(known, ", ")
}

// editDistance is Levenshtein's distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
