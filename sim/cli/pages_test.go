package cli

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// TestPagesGoOnToTheEnd: a listing is asked for page by page until there is no next one, its other parameters kept.
func TestPagesGoOnToTheEnd(t *testing.T) {
	var asked []string
	next := map[string]string{"/x?pid=7": "a:1", "/x?after=a%3A1&pid=7": "b", "/x?after=b&pid=7": ""}
	err := (&remote{}).pages(context.Background(), "/x", url.Values{"pid": {"7"}}, func(_ context.Context, path string) (string, error) {
		asked = append(asked, path)
		n, ok := next[path]
		if !ok {
			t.Errorf("asked for %s", path)
		}
		return n, nil
	})
	if err != nil || len(asked) != 3 {
		t.Errorf("%v after %q", err, asked)
	}
	err = (&remote{}).pages(context.Background(), "/x", nil, func(context.Context, string) (string, error) { return "a", nil })
	if err == nil || !strings.Contains(err.Error(), "goes on where it began, after a") {
		t.Errorf("a page without progress: %v", err)
	}
	broken := errors.New("broken")
	if err := (&remote{}).pages(context.Background(), "/x", nil, func(context.Context, string) (string, error) { return "a", broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}
