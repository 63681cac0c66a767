// Package tapes holds what the tapes of the cores of an mComponent share: how errors and messages stand in a record, and how
// they are summed. The records themselves are defined beside their cores.
//
// Pure: no goroutines, no locks, no clock. The cores of package mcomponent call it.
package tapes
