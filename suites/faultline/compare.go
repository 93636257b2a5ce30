package main

import (
	"fmt"
	"os"

	"faultline/reports"
	"faultline/reports/record"
	"faultline/suites/rundir"
)

// compareVariable names a record, or the folder of one, to compare the newest run with.
const compareVariable = "FAULTLINE_COMPARE"

// comparedRun is the run that the environment names; nil where it names none.
func comparedRun() (*record.Run, error) {
	path := os.Getenv(compareVariable)
	if path == "" {
		return nil, nil
	}
	run, err := record.Load(recordAt(path))
	if err != nil {
		return nil, fmt.Errorf("the run to compare with (%s): %w", compareVariable, err)
	}
	return run, nil
}

// compare writes the comparison with an earlier run, if there is one, beside the report.
func compare(dir rundir.Dir, before, after *record.Run) error {
	if before == nil {
		return nil
	}
	if err := reports.WriteComparison(dir.Results, before, after); err != nil {
		return err
	}
	fmt.Printf("comparison: %s\n", dir.File(reports.ComparisonFile))
	return nil
}
