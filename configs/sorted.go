package configs

import (
	"maps"
	"slices"
)

// sortedKeys fixes the order in which a section's faults are reported.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
