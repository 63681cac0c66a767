package netlayer

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestContextOfARequest(t *testing.T) {
	type key struct{}
	parent, stop := context.WithCancel(context.WithValue(context.Background(), key{}, 1))
	var d deadlineCtx
	later := time.Now().Add(time.Hour)
	d.begin(parent, later)
	if at, ok := d.Deadline(); !ok || !at.Equal(later) {
		t.Errorf("deadline %v, want %v", at, later)
	}
	if !d.end() {
		t.Error("nobody asked for its channel and it cannot be used again")
	}

	d.begin(parent, later)
	child, cancel := context.WithCancel(&d)
	defer cancel()
	if d.Value(key{}) != 1 || d.Err() != nil {
		t.Errorf("value %v, error %v", d.Value(key{}), d.Err())
	}
	if d.end() {
		t.Error("its channel was given away and it would be used again")
	}
	<-child.Done() // or the test times out
	if !errors.Is(child.Err(), context.Canceled) {
		t.Errorf("after the request: %v", child.Err())
	}

	short := new(deadlineCtx)
	short.begin(parent, time.Now().Add(time.Millisecond))
	<-short.Done()
	if !errors.Is(short.Err(), context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", short.Err())
	}
	short.end()
	long := new(deadlineCtx)
	long.begin(parent, later)
	stop()
	<-long.Done()
	if !errors.Is(long.Err(), context.Canceled) {
		t.Errorf("after the end of the server: %v", long.Err())
	}
	long.end()
}
