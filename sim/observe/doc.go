// Package observe watches a running cluster and says how it is: what each component bears and whether it answers, who leads, what the vNodes do
// and where their things are, what moves, what was made to go wrong, and what happened. It asks once per interval and keeps the last hour of
// figures and the last events, within named limits. It changes nothing. The terminal view and the web page show what it publishes.
//
//	st, err := launcher.Find(name)
//	o, err := observe.New(observe.Options{Source: observe.Live(st)})
//	updates, cancel := o.Subscribe()   // holds the latest; a slow reader misses the ones between
//	go o.Run(ctx)
//	for s := range updates { draw(s, o.Series()) }
//
// The arithmetic is in plain functions and in model, which has no goroutine and no clock; Observer is the shell that asks. Everything is asked at
// once and a round waits for a part of the interval only, so a component that does not answer delays nobody: its answer counts when it comes.
// What a snapshot says about a component that is not well is decided by judge, from its process, the faults that were injected, the word
// of the managers, and its own silence.
//
// A Snapshot is shared by all who read it and never changed after it was published.
package observe
