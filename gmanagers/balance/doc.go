// Package balance decides what a manager moves between its components: away from those that drain, and from those that
// bear much to those that bear little.
//
// One Balancer watches one measure (misses and flushes per second, queue delay, bytes, threads or busy processors) of the
// components of one manager. At each Look it is told of every component and of every thing that they hold, and answers
// with the moves to order, each with its reason in words. It keeps readings only: what is under way, who drains and when
// a thing moved last come with every Look, so a new leader goes on with a new Balancer.
//
// How it decides:
//
//   - What a component bears is its measure, and with Options.Second a weight times a second one, by its power (its
//     processors, its bytes; 1 if all are alike). Where requests wait for a worker the power counts as less, by up to
//     1 + Options.QueueWeight times. Spread is the coefficient of variation of what is borne, weighted by power. Cumulative counters become rates, rates and delays are smoothed
//     over Options.SmoothingMS; a counter that fell or a new epoch begins them again. Bytes and threads are taken as they are.
//   - What a thing bears is its own load, if its holder tells it (Thing.Measured and not Unrated); what its holder bears
//     besides is divided among the others by size.
//   - The figures are those of the model: what is under way counts where it goes, and what has just arrived is shifted from
//     the giver's figure to the taker's, until both were read again. So a smoothed figure that lags orders nothing twice.
//   - Hysteresis: balancing starts above Options.High and goes on until Options.Low is reached. A component that joined, or
//     that alone lies far from the mean of many, is filled or relieved although the spread of all is small.
//   - A move must lower Σ power·bears², which has the least value when all bear the same, and the higher of its two ends
//     by Options.MinGain of the mean; the taker must stay below what the giver bore by twice the noise seen in both.
//     The sum falls with every move, also when powers are taken as they are without waiting, so in a world at rest nothing
//     goes in circles, wherever requests wait then; the noise is why it does not under noise either. A thing does not move again within Options.CoolDownMS.
//   - At most Options.MaxMoves are under way, at a component Options.MaxComponentMoves. Those that drain come first, largest
//     thing first, each to where the placement policy says, cool-down or not, and more of them at a time: up to
//     Options.MaxDrainMoves, whichever components they leave and go to. While as many are under way nothing is balanced.
//
// It proposes, records and performs nothing, and does not know of leases: the caller says who is alive. It is soft state
// of the leader, not replicated, so floating-point numbers do no harm. The same calls give the same plans, whatever the
// order in which components and things are given.
//
// Sources. Fairness index: Jain, Chiu, Hawe, "A Quantitative Measure of Fairness and Discrimination for Resource
// Allocation in Shared Computer Systems", DEC-TR-301, 1984; with the coefficient of variation c it is 1/(1+c²). Standard
// deviation of the load by capacity as the target, the move that lowers it most as the next, a least goodness and the
// weighing of a gain against what a move costs and risks: Gulati, Holler, Ji, Shanmuganathan, Waldspurger, Zhu, "VMware
// Distributed Resource Management: Design, Implementation, and Lessons Learned", VMware Technical Journal 1(1), 2012. A
// threshold and a limit on how often work travels, without which it thrashes: Eager, Lazowska, Zahorjan, "Adaptive Load
// Sharing in Homogeneous Distributed Systems", IEEE TSE 12(5), 1986. The largest first: Johnson, "Near-Optimal Bin Packing
// Algorithms", MIT, 1973. The second threshold, the margin for noise and the shifted figures are ours. Two choices, where
// a drain is to use them, are the placement policy of that name.
//
// Pure: no goroutines, no locks, no clock, no chance, no I/O. Called by the shell of the managers and by the virtual
// cluster.
//
//	b := balance.New(options, "bytes of memory", balance.ByPolicy(policy))
//	for {
//		… wait until b.Next(), call b.Soon(now) when a component joins and when a move ends, b.SoonDrain(now) if one drains …
//		plan := b.Look(now, components, things)
//		for _, m := range plan.Moves { … propose to begin it, with m.Reason … }
//	}
package balance
