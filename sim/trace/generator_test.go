package trace

import (
	"path/filepath"
	"testing"
)

// TestGeneratorIsASource: its header tells in advance what reading it finds, and reading it twice finds the same.
func TestGeneratorIsASource(t *testing.T) {
	const spec = "generator:sequential?pages=700&refs=1501&writes_percent=40&gap=3&seed=5"
	var digests []uint64
	for range 2 {
		src, err := Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		h := src.Header()
		info, err := Stat(src)
		if err != nil {
			t.Fatal(err)
		}
		if info.Refs != 1501 || info.FootprintPages != 700 || h.Refs != info.Refs || h.FootprintPages != info.FootprintPages || h.Instructions != info.Instructions || h.Maps != 1 || info.Writes < 500 || info.Writes > 700 {
			t.Errorf("header %+v, read %+v", h, info)
		}
		digests = append(digests, info.Writes)
	}
	if digests[0] != digests[1] {
		t.Error("one generator makes two streams")
	}
	a, errA := Digest(t.Context(), spec)
	b, errB := Digest(t.Context(), spec+"1")
	if errA != nil || errB != nil || a == b || len(a) != 64 {
		t.Errorf("digests %s and %s (%v, %v), want two of 64 digits", a, b, errA, errB)
	}
	if _, err := Open("generator:sequential?pages=0"); err == nil {
		t.Error("a bad generator is opened")
	}
}

// TestEveryGeneratorConverts: what the .skt has is what the text says, and the header what the stream has.
func TestEveryGeneratorConverts(t *testing.T) {
	for _, text := range []string{"chase?pages=700&refs=1501&seed=5", "ycsb?workload=e&pages=700&refs=1501", "training?pages=700&refs=1501", "wordcount?pages=700&refs=1501",
		"block?size=1m&number_ios=1501&rw=randrw&fsync=10&bssplit=4k/50:8k/50", "block?size=1m&number_ios=1&rw=read"} {
		src, err := Open("generator:" + text)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "x.skt")
		wrote, err := Convert(path, src)
		if err != nil {
			t.Fatal(err)
		}
		if wrote.Refs+wrote.BlockReads+wrote.BlockWrites == 0 || wrote.Header.Args[0] != src.Header().Args[0] {
			t.Errorf("%s: wrote %+v", text, wrote)
		}
		same(t, "generator:"+text, path)
	}
}

// same fails unless two traces are record for record the same.
func same(t *testing.T, a, b string) {
	t.Helper()
	var texts []string
	for _, path := range []string{a, b} {
		src, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		items, err := drain(src)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, describe(items))
	}
	if texts[0] != texts[1] {
		t.Errorf("%s and %s differ", a, b)
	}
}

// TestBlocksAreNumbered: a stream of requests has as many as were asked for, flushes beside, at moments that do not run backwards.
func TestBlocksAreNumbered(t *testing.T) {
	src, err := Open("generator:block?size=1m&number_ios=1501&rw=randwrite&fsync=10&rate_iops=500")
	if err != nil {
		t.Fatal(err)
	}
	info, err := Stat(src)
	if err != nil {
		t.Fatal(err)
	}
	if info.BlockWrites != 1501 || info.BlockFlushes != 150 || info.BlockTimeNs != 3e9 || info.Volumes[0].SizeBytes != 1<<20 || info.FootprintPages != 0 {
		t.Errorf("%+v", info)
	}
}
