package wire

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestServedTimes: both times come out as they went in, to a five-hundredth, and the word is never that of no times.
func TestServedTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(30*time.Minute)).Draw(t, what)) >> rapid.IntRange(0, 40).Draw(t, "smaller")
		}
		queue, service := draw("queue"), draw("service")
		w := ServedTimes(queue, service)
		q, s, ok := ParseServedTimes(w)
		if w == 0 || !ok || queue-q < 0 || queue-q > queue/500 || service-s < 0 || service-s > service/500 {
			t.Fatalf("%v and %v come back as %v and %v, %v", queue, service, q, s, ok)
		}
	})
	if _, _, ok := ParseServedTimes(0); ok {
		t.Error("no times are taken for some")
	}
	if q, s, _ := ParseServedTimes(ServedTimes(time.Hour*99, -1)); q < 30*time.Minute || s != 0 {
		t.Errorf("beyond the bounds: %v and %v", q, s)
	}
}
