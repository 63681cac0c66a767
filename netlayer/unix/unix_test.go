package unix_test

import (
	"path/filepath"
	"testing"

	"splitkernel/netlayer"
	"splitkernel/netlayer/nettest"
)

func TestConformance(t *testing.T) {
	nettest.Run(t, func(t *testing.T) netlayer.Addr { return netlayer.Addr("unix:" + filepath.Join(t.TempDir(), "s")) })
}
