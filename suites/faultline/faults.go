package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"faultline/fault"
)

// faults lists every fault.
func faults(context.Context) error {
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "FAULT\tFAMILY\tTARGETS\tNEEDS\tUNDO\tPROOF")
	for _, e := range fault.Catalogue() {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Kind, e.Family, e.Targets, orNone(e.Needs), e.Undo, e.Proof)
	}
	return out.Flush()
}
