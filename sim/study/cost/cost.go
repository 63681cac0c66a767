// Package cost says what the parts of a disaggregated data centre may cost so that it costs as much as servers for the same tasks.
//
// How many of each are needed comes from a packing; prices are the caller's, each with its source. All costs are linear in the prices, so each
// break-even price follows from the difference at the given prices: what is saved in all may be spent on what is bought of one thing.
//
// Who calls: `splitkernel study cost`. Pure: no goroutines, no clock.
//
//	r := cost.Compare(prices, cost.Build{Servers: 904, Cores: 96, …}, cost.Build{…})
//	fmt.Println(r.BreakEven)
package cost

import (
	"errors"
	"fmt"
)

// MaxPrice bounds each price.
const MaxPrice = 1e9

// Price is a number and where it is from.
type Price struct {
	Value  float64 `yaml:"value" json:"value"`
	Source string  `yaml:"source" json:"source"`
}

// Prices are what parts cost, in one currency.
type Prices struct {
	Currency   string `yaml:"currency" json:"currency"`
	Core       Price  `yaml:"core" json:"core"`             // one core
	GiB        Price  `yaml:"memory_gib" json:"memory_gib"` // one GiB of memory
	GPU        Price  `yaml:"gpu" json:"gpu"`
	Server     Price  `yaml:"server" json:"server"`         // board, chassis, supply of a server, without what follows
	PComponent Price  `yaml:"pcomponent" json:"pcomponent"` // the same of components
	MComponent Price  `yaml:"mcomponent" json:"mcomponent"`
	GComponent Price  `yaml:"gcomponent" json:"gcomponent"`
	ServerPort Price  `yaml:"server_port" json:"server_port"`       // network card, cable and share of switches of a server
	Port       Price  `yaml:"component_port" json:"component_port"` // of a component
	KWh        Price  `yaml:"kwh" json:"kwh"`
	Years      Price  `yaml:"years" json:"years"` // for which energy is counted
}

// all are the prices by their keys.
func (p Prices) all() []struct {
	key string
	p   Price
} {
	return []struct {
		key string
		p   Price
	}{
		{"core", p.Core}, {"memory_gib", p.GiB}, {"gpu", p.GPU}, {"server", p.Server}, {"pcomponent", p.PComponent}, {"mcomponent", p.MComponent}, {"gcomponent", p.GComponent},
		{"server_port", p.ServerPort}, {"component_port", p.Port}, {"kwh", p.KWh}, {"years", p.Years},
	}
}

// Validate returns all faults.
func (p Prices) Validate() error {
	var errs []error
	if p.Currency == "" {
		errs = append(errs, errors.New("currency: missing, want its name"))
	}
	for _, e := range p.all() {
		if !(e.p.Value >= 0 && e.p.Value <= MaxPrice) {
			errs = append(errs, fmt.Errorf("%s: %v, want 0 to %v", e.key, e.p.Value, float64(MaxPrice)))
		}
		if e.p.Source == "" {
			errs = append(errs, fmt.Errorf("%s: no source, want where the price is from, or that it is an example", e.key))
		}
	}
	return errors.Join(errs...)
}

// Build is what is bought: how many, and what one has. Cores, GiB and GPUs are of all together.
type Build struct {
	Servers     float64 `json:"servers"`
	PComponents float64 `json:"pcomponents"`
	MComponents float64 `json:"mcomponents"`
	GComponents float64 `json:"gcomponents"`
	Cores       float64 `json:"cores"`
	GiB         float64 `json:"memory_gib"`
	GPUs        float64 `json:"gpus"`
	KWhYear     float64 `json:"kwh_per_year"` // 0: not counted
}

// Validate returns all faults.
func (b Build) Validate() error {
	for _, v := range []float64{b.Servers, b.PComponents, b.MComponents, b.GComponents, b.Cores, b.GiB, b.GPUs, b.KWhYear} {
		if !(v >= 0 && v <= 1e15) {
			return fmt.Errorf("%+v: want numbers of at least 0", b)
		}
	}
	return nil
}

// Item is one line of a bill.
type Item struct {
	Name  string  `json:"name"`
	Count float64 `json:"count"`
	Price float64 `json:"price"`
	Cost  float64 `json:"cost"`
}

// Bill is what a build costs.
type Bill struct {
	Items []Item  `json:"items"`
	Total float64 `json:"total"`
}

// Even is the price of one thing of the pools at which they cost as much as servers, all other prices as they are.
type Even struct {
	Name  string  `json:"name"`
	Price float64 `json:"price"` // as given
	Even  float64 `json:"break_even"`
	// Never says that not even a price of 0 is low enough.
	Never bool `json:"never"`
}

// Result is a comparison.
type Result struct {
	Currency string  `json:"currency"`
	Servers  Bill    `json:"servers"`
	Pools    Bill    `json:"pools"`
	Ratio    float64 `json:"pools_by_servers"`
	Even     []Even  `json:"break_even"`
}

// bill lists what is bought.
func (p Prices) bill(b Build) (out Bill) {
	for _, i := range []Item{
		{Name: "servers without parts", Count: b.Servers, Price: p.Server.Value},
		{Name: "pComponents without parts", Count: b.PComponents, Price: p.PComponent.Value},
		{Name: "mComponents without parts", Count: b.MComponents, Price: p.MComponent.Value},
		{Name: "components of GPUs without parts", Count: b.GComponents, Price: p.GComponent.Value},
		{Name: "cores", Count: b.Cores, Price: p.Core.Value},
		{Name: "memory, GiB", Count: b.GiB, Price: p.GiB.Value},
		{Name: "GPUs", Count: b.GPUs, Price: p.GPU.Value},
		{Name: "network ports of servers", Count: b.Servers, Price: p.ServerPort.Value},
		{Name: "network ports of components", Count: b.PComponents + b.MComponents + b.GComponents, Price: p.Port.Value},
		{Name: "energy, kWh", Count: b.KWhYear * p.Years.Value, Price: p.KWh.Value},
	} {
		if i.Count > 0 {
			i.Cost = i.Count * i.Price
			out.Items = append(out.Items, i)
			out.Total += i.Cost
		}
	}
	return out
}

// Compare compares servers with pools.
func Compare(p Prices, servers, pools Build) Result {
	r := Result{Currency: p.Currency, Servers: p.bill(servers), Pools: p.bill(pools)}
	if r.Servers.Total > 0 {
		r.Ratio = r.Pools.Total / r.Servers.Total
	}
	saved := r.Servers.Total - r.Pools.Total
	for _, i := range r.Pools.Items {
		e := Even{Name: i.Name, Price: i.Price, Even: i.Price + saved/i.Count}
		if e.Even < 0 {
			e.Even, e.Never = 0, true
		}
		r.Even = append(r.Even, e)
	}
	return r
}
