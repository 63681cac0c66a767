//go:build !canary

package canary

import "testing"

func TestNothingIsBuilt(t *testing.T) {
	for c := FlushInFlight; c <= StaleHolder; c++ {
		if Built || On(c) {
			t.Errorf("canary %d is in a build without the tag", c)
		}
	}
}
