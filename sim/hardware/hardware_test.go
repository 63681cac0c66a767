package hardware

import (
	"strings"
	"testing"
)

func TestFaultsOfAllSections(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Fatal(err)
	}
	h := DefaultOptions()
	h.Link.Bandwidth, h.Endpoint.Post, h.Processor.CopyRate, h.Device.Channels = 0, -1, 0, 0
	err := h.Validate()
	for _, want := range []string{"link: bandwidth", "endpoint: post", "processor: copy_rate", "device: channels"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a fault with %q", err, want)
		}
	}
}

func TestSources(t *testing.T) {
	var p Profile
	p.SetSource("link.latency", "guess")
	p.SetSource("device.flush", "fitted to figure 9")
	p.SetSource("link.latency", "a data sheet")
	if p.Source("link.latency") != "a data sheet" || p.Source("link.jitter") != "" || len(p.Sources()) != 2 || p.Sources()[0].Key != "device.flush" {
		t.Errorf("%+v, want two, in the order of their keys, the last text of each", p.Sources())
	}
	if s := p.Sources(); !s[0].Fitted() || s[0].Guess() || s[1].Fitted() || s[1].Guess() {
		t.Errorf("%+v, want the first fitted, and no guess", s)
	}
}
