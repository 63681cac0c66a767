// Package check holds the stamps by which every access is verified: what a page or sector must hold is known here, with
// the driver of the accesses, and nowhere in the components.
//
// A stamp is 16 bytes: the page number (or volume and sector) and the version, which counts the writes to it. Memory that
// was never written is all zero, so its stamp is zero too. The stamp lies at a 64-byte offset within the page that
// depends on the page, since the same offset in every page would crowd the same cache sets.
//
// Limit: a page that was never written must show zeros where its stamp would be, and so does most of any other page; that
// one page was taken for another is seen as soon as either was written at the place that is compared.
//
// Pure: no goroutines, no locks; the caller holds whatever lock orders the accesses.
//
//	if write { pages.Write(page, bytes) } else if !pages.Read(page, bytes) { … a wrong page was seen … }
package check
