package reproduce

import (
	"fmt"

	"splitkernel/sim/fit"
	"splitkernel/sim/hardware"
	"splitkernel/sim/units"
)

// ipoib is Figure 7's row of Linux's sockets, in µs by size of the reply.
var ipoib = []struct {
	reply uint64
	us    float64
}{{128, 23.1}, {256, 18.5}, {512, 18.7}, {1024, 19.0}, {2048, 21.3}, {4096, 23.8}}

// smallRequest is the request of Figure 7, which is not published: the smallest of the RPC profile, as package fit takes it.
const smallRequest = 32

// messages are Figure 7 and the RPC profile: what package fit fitted to them, and what follows from that.
func (r *run) messages() error {
	cells, err := fit.Fitted(&r.o.Hardware)
	if err != nil {
		return err
	}
	for _, c := range cells {
		figure := c.Figure
		switch figure {
		case "Fig 7 RPC", "Fig 7 socket":
			figure, c.Case = "Fig 7", map[string]string{"Fig 7 RPC": "LegoOS RPC, ", "Fig 7 socket": "LegoOS socket, "}[figure]+c.Case
		case "Fig 9 Linux":
			figure, c.Case = "Fig 9", "Linux, "+c.Case
		}
		r.add(figure, c.Case, c.Unit, c.Published, c.Ours, Fitted)
	}
	linux := r.o.Hardware
	linux.Endpoint = r.o.Sockets
	for _, c := range ipoib {
		kind := Predicted
		if c.reply == 256 {
			kind = Fitted // the sum that the profile of the sockets splits
		}
		us, err := rpcMicros(&linux, smallRequest, c.reply)
		if err != nil {
			return err
		}
		r.add("Fig 7", fmt.Sprintf("Linux IPoIB socket, %d B", c.reply), "µs", c.us, us, kind)
	}
	miss, err := rpcMicros(&r.o.Hardware, uint64(legoSizes.Miss), uint64(legoSizes.Page))
	if err != nil {
		return err
	}
	flush, err := rpcMicros(&r.o.Hardware, uint64(legoSizes.Flush), uint64(legoSizes.Ack))
	if err != nil {
		return err
	}
	both, err := rpcMicros(&r.o.Hardware, uint64(legoSizes.MissFlush), uint64(legoSizes.Page))
	if err != nil {
		return err
	}
	r.add("RPC profile", "ExCache miss", "µs", 6.31, miss, Predicted)
	r.add("RPC profile", "ExCache flush", "µs", 6.11, flush, Predicted)
	r.add("RPC profile", "saved by piggyback", "µs", 4.2, miss+flush-both, Predicted)
	r.add("RPC profile", "saved by piggyback, share", "ratio", 0.34, 1-both/(miss+flush), Predicted)
	p := &r.o.Hardware.Processor
	r.add("RPC profile", "TLB shootdown, 1 processor", "µs", 1.47, micros(p.ShootdownOf(1)), Input)
	r.add("RPC profile", "TLB shootdown, 23 processors", "µs", 7.58, micros(p.ShootdownOf(23)), Input)
	return nil
}

func micros(p units.Picos) float64 { return float64(p) / float64(units.Microsecond) }

// rpcMicros is the latency of one thread's calls in µs.
func rpcMicros(h *hardware.Hardware, request, reply uint64) (float64, error) {
	x, err := fit.RPC{Threads: 1, Request: request, Reply: reply}.Run(h)
	return float64(x.Latency.Nanoseconds()) / 1000, err
}
