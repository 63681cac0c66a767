//go:build !race

package cluster

// The driver, without C. It is a large program translated by a machine, which takes longer to build for the race detector than the rest of this one; it runs in the goroutine
// that asks. A build with the race detector says that it does not know the driver.
import _ "modernc.org/sqlite"
