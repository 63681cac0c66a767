package configs

import (
	"maps"
	"slices"
)

// sortedKeys fixes the order in which a section's faults are reported.
func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
