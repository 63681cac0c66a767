package generate

import "testing"

// pinned are digests of sequences: those of zipf, sequential and phases are from before there were other kinds.
var pinned = map[string]string{
	"generator:zipf?pages=1000&refs=20000&writes_percent=10&seed=7": "7218ccebfa0a7104",
	"generator:zipf?pages=97&refs=20000&skew=1.3":                   "57ec38cf9025c446",
	"generator:sequential?pages=777&refs=20000&seed=3":              "9cf2a3fa781148a6",
	"generator:phases?pages=5000&refs=20000&hot=30&seed=9":          "19f7d97aa087a4df",
	"generator:chase?pages=777&refs=20000&seed=3":                   "0f5d251ce1bd2a90",
	"generator:drift?pages=777&refs=20000&seed=3":                   "9e9b36b391feabda",
	"generator:hotcold?pages=777&refs=20000&seed=3":                 "ee3a6c608c2681bf",
	"generator:strided?pages=777&refs=20000&seed=3":                 "b0ef9096fe16786e",
	"generator:training?pages=777&refs=20000":                       "4c078a4fad4390c8",
	"generator:wordcount?pages=777&refs=20000&seed=3":               "7004a4963a85b3db",
	"generator:ycsb?workload=a&pages=777&refs=20000&seed=3":         "2ac0a643a3ad3275",
	"generator:ycsb?workload=d&pages=777&refs=20000&seed=3":         "598f8b2229bd5aad",
	"generator:ycsb?workload=e&pages=777&refs=20000&seed=3":         "070e3b7a341cde8f",
	"generator:ycsb?workload=f&pages=777&refs=20000&seed=3":         "3d07f8df74e559d4",
}

// TestTextsStay: the digest of a run has the text of its generator, with every value.
func TestTextsStay(t *testing.T) {
	for text, want := range map[string]string{
		"generator:zipf?pages=97&refs=20000&skew=1.3":          "generator:zipf?pages=97&refs=20000&writes_percent=25&gap=4&skew=1.3",
		"generator:sequential?pages=777&refs=20000&seed=3":     "generator:sequential?pages=777&refs=20000&writes_percent=25&gap=4&seed=3",
		"generator:phases?pages=5000&refs=20000&hot=30&seed=9": "generator:phases?pages=5000&refs=20000&writes_percent=25&gap=4&phase=2000&hot=30&seed=9",
	} {
		if got := mustParse(t, text).String(); got != want {
			t.Errorf("%s prints as %s, want %s", text, got, want)
		}
	}
}
