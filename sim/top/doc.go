// Package top draws a running cluster in a terminal: its components, vNodes, leaders and events, sorted and filtered by keys. It draws what
// sim/observe publishes and changes nothing.
//
// Model is the state of the view and what keys do to it; it has no clock and no goroutine, so tests drive it with messages and compare frames.
// Run gives it to bubbletea, which owns the terminal and its goroutines and puts the terminal back. WriteText prints a snapshot once, for
// pipes.
//
// Names come from others: what is no printable character is shown as a dot, so that no name can speak to the terminal.
package top
