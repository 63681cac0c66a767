package weigh

import "splitkernel/gmanagers/balance"

// Balance is the balancing of each manager, and how many moves drains make at a time.
type Balance struct {
	GPM    balance.Options `mapstructure:"gpm" yaml:"gpm"`       // processes; threads and busy cores, by cores
	GMM    balance.Options `mapstructure:"gmm" yaml:"gmm"`       // vRegions; misses and flushes a second
	Homes  balance.Options `mapstructure:"homes" yaml:"homes"`   // of processes, by GMM; memory-map calls a second
	GSM    balance.Options `mapstructure:"gsm" yaml:"gsm"`       // volumes; bytes and requests a second, by capacity
	Caches balance.Options `mapstructure:"caches" yaml:"caches"` // buffer caches, by GSM; requests a second
}

// DefaultBalance gives the settings.
func DefaultBalance() Balance {
	o := balance.DefaultOptions()
	b := Balance{GPM: o, GMM: o, Homes: o, GSM: o, Caches: o}
	b.GPM.Measure, b.GSM.Measure = balance.Threads, balance.Bytes
	b.GPM.Second, b.GPM.SecondWeight = balance.BusyCores, 3    // a thread that runs counts as four that wait
	b.GSM.Second, b.GSM.SecondWeight = balance.Rate, 1.0/10000 // so many requests a second count as much as a full sComponent
	for _, waits := range []*balance.Options{&b.GMM, &b.Homes, &b.GSM, &b.Caches} {
		waits.QueueWeight = 0.5 // a component whose requests wait bears half as much again
	}
	b.GSM.QueueFullUS = 10_000                      // disks wait for longer than memory
	b.GPM.MaxDrainMoves, b.GSM.MaxDrainMoves = 4, 4 // they are large: more at a time make each pause longer
	b.GMM.MinLoad, b.Caches.MinLoad = 1000, 1000    // a second: a core serves hundreds of times as many
	b.Homes.MinLoad = 100                           // a second: fewer are nothing
	b.GSM.MinLoad = 0.05                            // of its bytes, or 500 requests a second
	return b
}
