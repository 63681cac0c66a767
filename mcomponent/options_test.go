package mcomponent

import (
	"strings"
	"testing"
)

func TestValidateNamesEveryKey(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	err := Options{}.Validate()
	if err == nil {
		t.Fatal("empty options are valid")
	}
	for _, want := range []string{
		"memory_bytes: 0, want a multiple of 4096 from 4096 to 68719476736", "region_bytes: 0, want a power of two from 4096 to 1099511627776",
		"workers: 0, want 1 to 1024", "buffer_cache_bytes: 0,", "max_vmas_per_process: 0,", "max_regions_per_process: 0,", "max_owned_regions: 0,",
		"max_outstanding: 0,", "writeback_window_blocks: 0,", "max_block_waiters: 0,", "max_volumes: 0,", "activate_timeout_ms: 0,", "storage_timeout_ms: 0,",
		"share_hedge_ms: 0, want 1 to 60000",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}
