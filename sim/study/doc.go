// Package study is what the studies of a data centre have in common: the bundled models of power, prices and devices, the reading of such files, and the
// plots and tables of what the pure packages below it compute (packing, mttf, cost, locality).
//
// It computes nothing itself. Who calls: `splitkernel study`. No goroutines.
//
//	power, err := study.Power("")              // the bundled example
//	svg, err := study.PackingPlots(servers, pools)
package study
