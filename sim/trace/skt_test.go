package trace

import (
	"io"
	"path/filepath"
	"testing"
)

func TestSmoke(t *testing.T) {
	p := filepath.Join(t.TempDir(), "a.skt")
	src, err := Open(sharedData(t, "page/pr2.filt16.pg.zst"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := Convert(p, src)
	if err != nil {
		t.Fatal(err)
	}
	src.Close()
	s, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := Stat(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v\n%+v", info, got)
	if _, err := s.Next(); err != io.EOF {
		t.Fatal(err)
	}
}
