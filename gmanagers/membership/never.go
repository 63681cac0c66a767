package membership

import "fmt"

// Never says how much the active components of a role have together and at most, for the refusal of what would not fit even if
// they were empty.
func Never(n int, what string, sum, most uint64) string {
	return fmt.Sprintf("the whole cluster has %d in %d %s, at most %d in one, even empty", sum, n, what, most)
}
