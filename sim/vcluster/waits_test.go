package vcluster

import "testing"

// TestTheDeadWaitForNobody: a request that a node has is named when nothing happens any more, but not one that it had when it was killed.
func TestTheDeadWaitForNobody(t *testing.T) {
	c, err := New(testOptions(1, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := c.memory[0]
	m.blocks.calls[1] = nil
	waits := func() (n int) {
		c.whoWaits(func(string, string) { n++ })
		return n
	}
	if waits() != 1 {
		t.Error("a request is not named")
	}
	if c.lives[m.no].down = true; waits() != 0 {
		t.Error("one of a node that was killed is")
	}
}
