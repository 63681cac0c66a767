package trace

import (
	"fmt"
	"strings"
)

// What blktrace and blkparse have in common: a request is told of at each of its stages, and one stage counts.

// actionKey says which.
var actionKey = Key{"action", "`Q`, `I`, `D` or `C`: the stage at which a request counts: queued (the default), inserted, issued to the driver, completed"}

// actionNumbers are the stages that may count, as blktrace numbers them.
var actionNumbers = map[string]byte{"Q": 1, "I": 12, "D": 7, "C": 8}

// action is the stage that counts.
func (in *input) action() (letter byte, number byte, err error) {
	v := in.spec.Keys[actionKey.Name]
	if v == "" {
		v = "Q"
	}
	n, ok := actionNumbers[v]
	if !ok {
		return 0, 0, fmt.Errorf("%s: action: %q, want Q, I, D or C", in.path, v)
	}
	return v[0], n, nil
}

// kernelRequests makes events of what a kernel's block layer told.
type kernelRequests struct {
	ordered
	volumes  volumeTable
	action   byte // letter of the stage that counts
	leftOut  uint64
	discards uint64
}

// kernelFlags are what a request is.
type kernelFlags struct{ read, write, discard, flush, fua bool }

// request takes one of the stage that counts. A flush that goes with a write comes before it, one that its
// completion waits for (FUA) behind it.
func (k *kernelRequests) request(timeNs uint64, volume uint32, sector, bytes uint64, f kernelFlags) error {
	at, ok := times(sector, sectorBytes)
	if !ok || at+bytes < at {
		return errTooFar
	}
	switch {
	case f.discard:
		k.discards++ // a volume here keeps no map of what is unused
		return nil
	case bytes == 0 && !f.flush || bytes > 0 && !f.read && !f.write:
		k.leftOut++
		return nil
	}
	flush := request{kind: BlockFlush, ns: timeNs, volume: volume}
	if f.flush {
		if err := k.add(flush); err != nil {
			return err
		}
	}
	if bytes > 0 {
		if err := k.add(request{kind: readIf(!f.write), ns: timeNs, volume: volume, offset: at, length: bytes}); err != nil {
			return err
		}
	}
	if f.fua && bytes > 0 {
		return k.add(flush)
	}
	return nil
}

func (k *kernelRequests) header(h *Header) {
	h.Granularity = 1
	h.HasWrites = true
	h.Volumes = k.volumes.infos()
	h.DefaultsStated = []string{defaultThread, "volume: one a device", fmt.Sprintf("requests: those of action %c", k.action)}
	h.DefaultsStated = k.stated(h.DefaultsStated)
	var out []string
	if k.discards > 0 {
		out = append(out, fmt.Sprintf("%d discards", k.discards))
	}
	if k.leftOut > 0 {
		out = append(out, fmt.Sprintf("%d requests that are no read, write or flush", k.leftOut))
	}
	if len(out) > 0 {
		h.DefaultsStated = append(h.DefaultsStated, "left out: "+strings.Join(out, ", "))
	}
}
