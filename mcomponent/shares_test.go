package mcomponent

import (
	"bytes"
	"encoding/binary"
	"testing"

	"splitkernel/netlayer/wire"
)

// uneven is a page of which no two parts are the same.
func uneven(page wire.PageNo, version uint64) []byte {
	b := make([]byte, wire.PageSize)
	for i := 0; i < len(b); i += 16 {
		binary.LittleEndian.PutUint64(b[i:], uint64(page)<<32+version)
		binary.LittleEndian.PutUint64(b[i+8:], uint64(i))
	}
	return b
}

// sharesAt gives holders with a share each.
func sharesAt(ms ...*member) (out []wire.Holder) {
	for i, m := range ms {
		h := holderOf(m, false)
		h.Index = uint32(i)
		out = append(out, h)
	}
	return out
}

func inShares(t testing.TB, cl *cluster, p *client) *gmm {
	return &gmm{t: t, cl: cl, client: p, pid: 7, region: 1, home: cl.m[0], cfg: wire.RegionConfig{PID: 7, Region: 1, Epoch: 1, Policy: wire.MemoryPolicy{Kind: wire.MemoryErasure, Data: 2, Parity: 1}}}
}

// TestSharesSurvive: a vRegion in shares is written, read, moved, loses a holder, gets another, loses its owner, and is unmapped: each page is what was flushed last, and
// nobody has more of it than its share.
func TestSharesSurvive(t *testing.T) {
	cl := newCluster(t, 7, func(o *Options) { o.RegionBytes = 512 * wire.PageSize })
	p := newClient(cl)
	home, g := cl.m[0], inShares(t, cl, p)
	p.open(home, 7, 1, 512) // owned by m2
	at := sharesAt(cl.m[2], cl.m[3], cl.m[4])
	g.protect(cl.m[1], at...)
	const pages = 200
	first, version := wire.PageNo(512+256), uint64(0)
	write := func(from, to uint64) {
		for i := from; i < to; i++ {
			version++
			p.flush(t, 7, first+wire.PageNo(i), version, uneven(first+wire.PageNo(i), i))
		}
	}
	check := func(when string, from, to uint64) {
		t.Helper()
		for i := from; i < to; i++ {
			if b := p.miss(t, 7, first+wire.PageNo(i)); !bytes.Equal(b, uneven(first+wire.PageNo(i), i)) {
				t.Fatalf("%s: page %d is another", when, i)
			}
		}
	}
	write(0, pages)
	check("all are well", 0, pages)
	if b := p.miss(t, 7, first+pages+3); !bytes.Equal(b, make([]byte, wire.PageSize)) {
		t.Error("a page that was never written is not zeros")
	}
	if n := cl.m[1].Stats().Fetches(); n != pages+1 {
		t.Errorf("%d fetches are counted, %d pages were missed", n, pages+1)
	}
	eventually(t, "the owner has no pages", func() bool { return cl.m[1].Stats().Pages.Used == 0 })
	for _, m := range cl.m[2:5] {
		if s := m.Stats(); s.Pages.Used != pages/2 || s.Holder.Pages != pages {
			t.Errorf("%s has %d pages for shares of %d, want %d", m.o.Node, s.Pages.Used, s.Holder.Pages, pages/2)
		}
	}
	if s := cl.m[1].Stats().Shares; s.Computed > s.Hedged || s.Reads != pages || s.Asked-s.Hedged != 2*pages {
		t.Errorf("%+v: want two shares for each page, of data unless one was slow, and no question for zeros", s)
	}

	cl.m[2].gone() // it had the first data share
	check("a holder is lost", 0, pages)
	if s := cl.m[1].Stats().Shares; s.Computed == 0 {
		t.Errorf("%+v: nothing was made with parity", s)
	}
	at[0] = holderOf(cl.m[5], true)
	g.protect(cl.m[1], at...)
	at[0].Filling = false
	g.protect(cl.m[1], at...)
	if s := cl.m[5].Stats(); s.Pages.Used != pages/2 || s.Holder.Pages != pages {
		t.Errorf("%s has %d pages for shares of %d, want %d", cl.m[5].o.Node, s.Pages.Used, s.Holder.Pages, pages/2)
	}

	req, from := p.order(7, 1, cl.m[6], home)
	if s := cl.move(from, req); s.State != wire.MoveDone {
		t.Fatalf("%+v", s)
	}
	g.cfg.Epoch = req.Epoch
	check("it has moved", 0, pages)

	w := g.write(3, 240) // of other pages
	w.some(t, 100)
	cl.m[6].gone()
	cl.m[3].gone()
	g.recover(cl.m[1], []wire.Holder{at[0], at[1], at[2]}, []wire.Holder{at[0], at[2]}, true)
	w.some(t, 100)
	w.end()
	if t.Failed() {
		return
	}
	check("owner and a holder are lost at once", 0, pages)
	cl.must(home.control(wire.OpMunmap, wire.MunmapReq{PID: 7, Epoch: 1, Addr: uint64(first) << wire.PageShift, Length: 101 * wire.PageSize}, nil))
	for _, m := range []*member{cl.m[4], cl.m[5]} {
		if s := m.Stats(); s.Holder.Pages > 240+pages-101 || s.Pages.Used > (240+pages-101)/2+2 {
			t.Errorf("%s has %d pages for shares of %d after an unmap", m.o.Node, s.Pages.Used, s.Holder.Pages)
		}
	}
	check("after an unmap", 101, pages)
}
