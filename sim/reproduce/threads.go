package reproduce

import (
	"slices"

	"splitkernel/sim/units"
)

// Where LegoOS runs threads on the testbed, and what that costs them. It boots one of the two sockets (CONFIG_NUMA_USE_ONE_SOCKET of its sample
// configurations), a Xeon E5-2620 v3 (README) with six cores and twelve hyper-threads, which are the even CPUs of a Dell R730: n and
// n + 12 are siblings. A new thread goes to the next CPU that nothing is pinned to (find_next_rr_cpu of kernel/sched/task_rt.c), as the CPUs in
// Documentation/profile.md show: 8, 10 and 12, 14 to 20, 22, 2 and 8, and so on. All of revision 1f4da865.

// userCPUs are the CPUs that threads of programs go to, in turn.
var userCPUs = []int{2, 8, 10, 12, 14, 16, 18, 20, 22}

// pollingCPUs are those of the pinned threads that never pause: ib_mad1 (pinned at 0 in Documentation/configs/1P-1M-Processor-Output) and
// FIT_RecvCQ-0 (at 6, log of September 2018, lastweek.github.io/lego). The third, FIT_WQ_Handler, waits in cpu_relax, which leaves the core to its sibling.
var pollingCPUs = []int{0, 6}

// smtGain is what a core does with two threads, compared with one, in millionths: Intel states up to 30 % more (Marr et al., Hyper-Threading Technology
// Architecture and Microarchitecture, Intel Technology Journal 6(1), 2002).
const smtGain = 1_300_000

// threadsShare is how many times longer n = 1, 2, … threads take than one with a core of its own, on average over the CPU that the first goes to.
func threadsShare() []units.Ratio {
	out := make([]units.Ratio, len(userCPUs))
	for n := 1; n <= len(userCPUs); n++ {
		speed := 0 // of all threads of all cases, in millionths
		for first := range userCPUs {
			var at []int
			for i := range n {
				at = append(at, userCPUs[(first+i)%len(userCPUs)])
			}
			for _, cpu := range at {
				if sibling := (cpu + 12) % 24; slices.Contains(pollingCPUs, sibling) || slices.Contains(at, sibling) {
					speed += smtGain / 2
				} else {
					speed += int(units.One)
				}
			}
		}
		out[n-1] = units.One * units.One / units.Ratio(speed/(n*len(userCPUs)))
	}
	return out
}
